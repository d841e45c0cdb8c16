/** Variables, connections, pools and users in Airflow 2. */
import { Halt, isObject, type Json, noContent, parseJson, type Reply } from "../../Http.js"
import * as Pools from "../Pools.js"
import * as Python from "../Python.js"
import * as Secrets from "../Secrets.js"
import type { Call } from "../Site.js"
import * as Times from "../Times.js"
import { badRequest, barePage, checkFields, html, objectBody, ok, ordered, page, problem } from "./Answers.js"

const variableJson = (key: string, variable: { readonly value: string; readonly description: string | null }) => ({
  description: variable.description,
  key,
  value: variable.value
})

const maskOf = (call: Call): ReadonlyArray<string> | undefined =>
  call.request.query.get("update_mask")?.split(",").map((name) => name.trim())

/** The given fields that the mask names, by the names that Airflow has for them inside. */
const masked = (call: Call, body: Json, fixed: string, inside: Readonly<Record<string, string>> = {}): Json => {
  const mask = maskOf(call)
  if (mask === undefined) return body
  const found = Object.entries(body).filter(([key]) => key !== fixed && mask.includes(inside[key] ?? key))
  const unknown = mask.find((name) => !found.some(([key]) => (inside[key] ?? key) === name))
  if (unknown !== undefined) throw new Halt(badRequest(call, `'${unknown}' is unknown or cannot be updated.`))
  return Object.fromEntries(found)
}

const variableBody = (call: Call): Json => {
  const body = objectBody(call)
  if ("value" in body && typeof body.value !== "string") {
    throw new Halt(badRequest(call, `${Python.repr(body.value)} is not of type 'string' - 'value'`))
  }
  const missing = ["key", "value"].find((name) => !(name in body))
  if (missing !== undefined) {
    const detail = `{'${missing}': ['Missing data for required field.']}`
    throw new Halt(problem(call, 400, "Invalid Variable schema", detail))
  }
  checkFields(call, body, ["key", "value", "description"], "Invalid Variable schema")
  return body
}

export const postVariable = (call: Call): Reply => {
  const body = variableBody(call)
  const description = typeof body.description === "string" ? body.description : null
  call.deployment.airflow.variables.set(String(body.key), { value: String(body.value), description })
  return ok(body)
}

export const patchVariable = (call: Call, key: string): Reply => {
  const { variables } = call.deployment.airflow
  const body = variableBody(call)
  if (body.key !== key) {
    return problem(call, 400, "Invalid post body", "key from request body doesn't match uri parameter")
  }
  const known = variables.get(key)
  if (known === undefined) return problem(call, 404, "Variable not found", "Variable does not exist")
  const { description, value } = masked(call, body, "key", { value: "val" })
  const changed = {
    value: typeof value === "string" ? value : known.value,
    description: typeof description === "string" ? description : known.description
  }
  variables.set(key, changed)
  return ok(variableJson(key, changed))
}

export const getVariable = (call: Call, key: string): Reply => {
  const variable = call.deployment.airflow.variables.get(key)
  return variable === undefined
    ? problem(call, 404, "Variable not found", "Variable does not exist")
    : ok(variableJson(key, variable))
}

const connectionFields = [
  "connection_id",
  "conn_type",
  "description",
  "host",
  "login",
  "password",
  "port",
  "schema",
  "extra"
]

const connectionJson = (fields: Json): Json => {
  const shown = Object.fromEntries(
    connectionFields.filter((name) => name !== "password").map((name) => [name, fields[name] ?? null])
  )
  return { ...shown, extra: typeof fields.extra === "string" ? Secrets.masked(fields.extra) : null }
}

const connectionBody = (call: Call): Json => {
  const body = objectBody(call)
  if (body.extra !== undefined && body.extra !== null && typeof body.extra !== "string") {
    throw new Halt(badRequest(call, `${Python.repr(body.extra)} is not of type 'string' - 'extra'`))
  }
  if (body.port !== undefined && body.port !== null && !Number.isInteger(body.port)) {
    throw new Halt(badRequest(call, `${Python.repr(body.port)} is not of type 'integer' - 'port'`))
  }
  checkFields(call, body, connectionFields, "Bad Request")
  return body
}

export const postConnection = (call: Call): Reply => {
  const body = connectionBody(call)
  const missing = ["connection_id", "conn_type"].find((name) => typeof body[name] !== "string")
  if (missing !== undefined) return badRequest(call, `{'${missing}': ['Missing data for required field.']}`)
  const id = String(body.connection_id)
  if (!/^[\w.-]+$/.test(id)) {
    const rule = "has to be made of alphanumeric characters, dashes, dots and underscores exclusively"
    return badRequest(call, `The key '${id}' ${rule}`)
  }
  const { connections } = call.deployment.airflow
  if (connections.has(id)) return problem(call, 409, "Conflict", `Connection already exist. ID: ${id}`)
  if (typeof body.extra === "string" && Array.isArray(parseJson(body.extra))) return barePage()
  connections.set(id, body)
  return ok(connectionJson(body))
}

const getConnection = (call: Call, id: string): Json => {
  const connection = call.deployment.airflow.connections.get(id)
  if (connection !== undefined) return connection
  const detail = `The Connection with connection_id: \`${id}\` was not found`
  throw new Halt(problem(call, 404, "Connection not found", detail))
}

export const patchConnection = (call: Call, id: string): Reply => {
  const known = getConnection(call, id)
  const body = connectionBody(call)
  if ("connection_id" in body && body.connection_id !== id) {
    return badRequest(call, "The connection_id cannot be updated.")
  }
  const changed = { ...known, ...masked(call, body, "connection_id") }
  call.deployment.airflow.connections.set(id, changed)
  return ok(connectionJson(changed))
}

export const deleteConnection = (call: Call, id: string): Reply => {
  getConnection(call, id)
  call.deployment.airflow.connections.delete(id)
  return noContent({ "content-type": "application/json" })
}

/** How many slots of an endless pool are open is more than Airflow 2 can print. */
const poolJson = (call: Call, name: string) => {
  const pool = getPool(call, name)
  if (pool.slots !== -1) return Pools.shape(call, name, pool)
  throw new Halt(problem(call, 500, "Response body does not conform to specification", "inf is not of type 'integer'"))
}

const getPool = (call: Call, name: string) => {
  const pool = call.deployment.airflow.pools.get(name)
  if (pool !== undefined) return pool
  throw new Halt(problem(call, 404, "Not Found", `Pool with name:'${name}' not found`))
}

const poolBody = (call: Call): Json => {
  const body = objectBody(call)
  checkFields(call, body, ["name", "slots", "description", "include_deferred"], "Bad Request")
  if ("slots" in body && !Number.isInteger(body.slots)) {
    throw new Halt(badRequest(call, `${Python.repr(body.slots)} is not of type 'integer' - 'slots'`))
  }
  return body
}

const savePool = (call: Call, name: string, body: Json): Reply => {
  const known = call.deployment.airflow.pools.get(name)
  Pools.save(call, name, {
    slots: Number(body.slots ?? known?.slots),
    description: typeof body.description === "string" ? body.description : known?.description ?? null,
    includeDeferred: typeof body.include_deferred === "boolean"
      ? body.include_deferred
      : known?.includeDeferred ?? false
  })
  return ok(poolJson(call, name))
}

const missingProperties = (call: Call, body: Json): Reply | undefined => {
  const missing = ["name", "slots"].filter((name) => !(name in body))
  return missing.length === 0
    ? undefined
    : badRequest(call, `Missing required property(ies): [${missing.map((name) => `'${name}'`).join(", ")}]`)
}

export const postPool = (call: Call): Reply => {
  const body = poolBody(call)
  const name = String(body.name)
  if (call.deployment.airflow.pools.has(name)) return problem(call, 409, "Conflict", `Pool: ${name} already exists`)
  return missingProperties(call, body) ?? savePool(call, name, body)
}

/** What may change of the default pool. */
const poolFields = new Set(["slots", "include_deferred"])

export const patchPool = (call: Call, name: string): Reply => {
  const body = poolBody(call)
  const mask = maskOf(call)
  if (name === "default_pool" && body.name !== name && mask?.every((field) => poolFields.has(field)) !== true) {
    return badRequest(call, "Default Pool's name can't be modified")
  }
  getPool(call, name)
  if (mask === undefined) return missingProperties(call, body) ?? savePool(call, name, body)
  return savePool(call, name, Object.fromEntries(Object.entries(body).filter(([key]) => mask.includes(key))))
}

export const deletePool = (call: Call, name: string): Reply => {
  if (name === "default_pool") return badRequest(call, "Default Pool can't be deleted")
  getPool(call, name)
  Pools.remove(call, name)
  return noContent({ "content-type": html })
}

const roles = ["Admin", "Op", "Public", "User", "Viewer"]

export const postUser = (call: Call): Reply => {
  const body = objectBody(call)
  const missing = ["username", "email", "first_name", "last_name", "password"].find((name) =>
    typeof body[name] !== "string"
  )
  if (missing !== undefined) return badRequest(call, `{'${missing}': ['Missing data for required field.']}`)
  const asked = (Array.isArray(body.roles) ? body.roles : [{ name: "Viewer" }]).map((role) =>
    isObject(role) ? String(role.name) : String(role)
  )
  const username = String(body.username)
  const { users } = call.deployment.airflow
  if (users.has(username)) {
    return problem(call, 409, "Conflict", `Username \`${username}\` already exists. Use PATCH to update.`)
  }
  if ([...users.values()].some((user) => user.email === body.email)) {
    return problem(call, 409, "Conflict", `The email \`${String(body.email)}\` is already taken.`)
  }
  const unknown = asked.filter((role) => !roles.includes(role))
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
    roles: asked.map((name) => ({ name })),
    username
  }
  users.set(username, user)
  return ok(user)
}

export const withUser = (call: Call, username: string, found: (user: Json) => Reply): Reply => {
  const user = call.deployment.airflow.users.get(username)
  return user === undefined
    ? problem(call, 404, "User not found", `The User with username \`${username}\` was not found`)
    : found(user)
}

export const listVariables = (call: Call): Reply =>
  all(
    call,
    "variables",
    [...call.deployment.airflow.variables].map(([key, variable]) => variableJson(key, variable)),
    { id: "", key: "key", value: "value" }
  )

const all = (call: Call, name: string, items: ReadonlyArray<Json>, order: Readonly<Record<string, string>>): Reply =>
  page(call, name, ordered(call, items, order), (item) => item)

export const deleteVariable = (call: Call, key: string): Reply =>
  call.deployment.airflow.variables.delete(key)
    ? noContent({ "content-type": html })
    : problem(call, 404, "Variable not found", null)

export const listConnections = (call: Call): Reply =>
  all(
    call,
    "connections",
    [...call.deployment.airflow.connections.values()].map((connection) => {
      const { extra: _, ...shown } = connectionJson(connection)
      return shown
    }),
    {
      id: "",
      connection_id: "connection_id",
      conn_type: "conn_type",
      description: "description",
      host: "host",
      port: "port"
    }
  )

export const showConnection = (call: Call, id: string): Reply => ok(connectionJson(getConnection(call, id)))

export const listPools = (call: Call): Reply =>
  all(call, "pools", [...call.deployment.airflow.pools.keys()].map((name) => poolJson(call, name)), {
    id: "",
    name: "name",
    slots: "slots"
  })

export const showPool = (call: Call, name: string): Reply => ok(poolJson(call, name))

export const listUsers = (call: Call): Reply =>
  page(call, "users", [...call.deployment.airflow.users.values()], (user) => user)

export const deleteUser = (call: Call, username: string): Reply =>
  withUser(call, username, () => {
    call.deployment.airflow.users.delete(username)
    return noContent({ "content-type": "application/json" })
  })
