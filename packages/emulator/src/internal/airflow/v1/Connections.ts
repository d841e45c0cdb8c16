/** Connections in Airflow 2. */
import { Halt, type Json, noContent, parseJson, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Python from "../Python.js"
import * as SecretsMasker from "../SecretsMasker.js"
import { checkFields, maskedFields, objectBody } from "./Body.js"
import { ordered, page } from "./Lists.js"
import { badRequest, barePage, ok, problem } from "./Responses.js"

const fields = [
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

const toJson = (connection: Json): Json => {
  const shown = Object.fromEntries(
    fields.filter((name) => name !== "password").map((name) => [name, connection[name] ?? null])
  )
  return { ...shown, extra: typeof connection.extra === "string" ? SecretsMasker.masked(connection.extra) : null }
}

const readBody = (call: Call): Json => {
  const body = objectBody(call)
  if (body.extra !== undefined && body.extra !== null && typeof body.extra !== "string") {
    throw new Halt(badRequest(call, `${Python.repr(body.extra)} is not of type 'string' - 'extra'`))
  }
  if (body.port !== undefined && body.port !== null && !Number.isInteger(body.port)) {
    throw new Halt(badRequest(call, `${Python.repr(body.port)} is not of type 'integer' - 'port'`))
  }
  checkFields(call, body, fields)
  return body
}

const requireConnection = (call: Call, id: string): Json => {
  const connection = call.deployment.metadata.connections.get(id)
  if (connection !== undefined) return connection
  const detail = `The Connection with connection_id: \`${id}\` was not found`
  throw new Halt(problem(call, 404, "Connection not found", detail))
}

const orderFields = {
  id: "",
  connection_id: "connection_id",
  conn_type: "conn_type",
  description: "description",
  host: "host",
  port: "port"
}

export const list = (call: Call): Response => {
  const connections = [...call.deployment.metadata.connections.values()].map((connection) => {
    const { extra: _, ...shown } = toJson(connection)
    return shown
  })
  return page(call, "connections", ordered(call, connections, orderFields), (item) => item)
}

export const get = (call: Call, id: string): Response => ok(toJson(requireConnection(call, id)))

export const post = (call: Call): Response => {
  const body = readBody(call)
  const missing = ["connection_id", "conn_type"].find((name) => typeof body[name] !== "string")
  if (missing !== undefined) return badRequest(call, `{'${missing}': ['Missing data for required field.']}`)
  const id = String(body.connection_id)
  if (!/^[\w.-]+$/.test(id)) {
    const rule = "has to be made of alphanumeric characters, dashes, dots and underscores exclusively"
    return badRequest(call, `The key '${id}' ${rule}`)
  }
  const { connections } = call.deployment.metadata
  if (connections.has(id)) return problem(call, 409, "Conflict", `Connection already exist. ID: ${id}`)
  if (typeof body.extra === "string" && Array.isArray(parseJson(body.extra))) return barePage()
  connections.set(id, body)
  return ok(toJson(body))
}

export const patch = (call: Call, id: string): Response => {
  const known = requireConnection(call, id)
  const body = readBody(call)
  if ("connection_id" in body && body.connection_id !== id) {
    return badRequest(call, "The connection_id cannot be updated.")
  }
  const changed = { ...known, ...maskedFields(call, body, "connection_id") }
  call.deployment.metadata.connections.set(id, changed)
  return ok(toJson(changed))
}

export const deleteConnection = (call: Call, id: string): Response => {
  requireConnection(call, id)
  call.deployment.metadata.connections.delete(id)
  return noContent({ "content-type": "application/json" })
}
