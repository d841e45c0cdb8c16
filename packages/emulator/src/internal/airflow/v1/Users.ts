/** Users in Airflow 2. */
import { Halt, isObject, type Json, noContent, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Times from "../Times.js"
import { objectBody } from "./Body.js"
import { page } from "./Lists.js"
import { badRequest, ok, problem } from "./Responses.js"

const roles = ["Admin", "Op", "Public", "User", "Viewer"]

const requireUser = (call: Call, username: string): Json => {
  const user = call.deployment.metadata.users.get(username)
  if (user !== undefined) return user
  throw new Halt(problem(call, 404, "User not found", `The User with username \`${username}\` was not found`))
}

export const list = (call: Call): Response =>
  page(call, "users", [...call.deployment.metadata.users.values()], (user) => user)

export const get = (call: Call, username: string): Response => ok(requireUser(call, username))

export const post = (call: Call): Response => {
  const body = objectBody(call)
  const missing = ["username", "email", "first_name", "last_name", "password"].find((name) =>
    typeof body[name] !== "string"
  )
  if (missing !== undefined) return badRequest(call, `{'${missing}': ['Missing data for required field.']}`)
  const requestedRoles = (Array.isArray(body.roles) ? body.roles : [{ name: "Viewer" }]).map((role) =>
    isObject(role) ? String(role.name) : String(role)
  )
  const username = String(body.username)
  const { users } = call.deployment.metadata
  if (users.has(username)) {
    return problem(call, 409, "Conflict", `Username \`${username}\` already exists. Use PATCH to update.`)
  }
  if ([...users.values()].some((user) => user.email === body.email)) {
    return problem(call, 409, "Conflict", `The email \`${String(body.email)}\` is already taken.`)
  }
  const unknown = requestedRoles.filter((role) => !roles.includes(role))
  if (unknown.length > 0) return badRequest(call, `Unknown roles: ${unknown.map((role) => `'${role}'`).join(", ")}`)
  const created = Times.offset(Times.micros(call.now)).replace("+00:00", "")
  const user = {
    active: true,
    changed_on: created,
    created_on: created,
    email: body.email,
    fail_login_count: null,
    first_name: body.first_name,
    last_login: null,
    last_name: body.last_name,
    login_count: null,
    roles: requestedRoles.map((name) => ({ name })),
    username
  }
  users.set(username, user)
  return ok(user)
}

export const deleteUser = (call: Call, username: string): Response => {
  requireUser(call, username)
  call.deployment.metadata.users.delete(username)
  return noContent({ "content-type": "application/json" })
}
