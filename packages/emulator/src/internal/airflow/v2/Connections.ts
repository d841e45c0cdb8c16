/** Connections in Airflow 3. */
import { isObject, type Json, parseJson, type Response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import * as SecretsMasker from "../SecretsMasker.js"
import { isAtLeast } from "../Version.js"
import * as Body from "./Body.js"
import * as Bulk from "./Bulk.js"
import * as Lists from "./Lists.js"
import * as Responses from "./Responses.js"

const toJson = (call: Call, connection: Json): Json => ({
  connection_id: connection.connection_id,
  conn_type: connection.conn_type,
  description: connection.description ?? null,
  host: connection.host ?? null,
  login: connection.login ?? null,
  schema: connection.schema ?? null,
  port: connection.port ?? null,
  password: typeof connection.password === "string" && connection.password !== "" ? "***" : null,
  extra: typeof connection.extra === "string" ? SecretsMasker.masked(connection.extra) : null,
  ...Responses.team(call)
})

const notFound = (id: string): Response =>
  Responses.failure(404, `The Connection with connection_id: \`${id}\` was not found`)

const connectionId: Body.Field = {
  check: (value) => {
    if (typeof value !== "string") return Body.text.check(value)
    const pattern = "^[\\w.-]+$"
    if (new RegExp(pattern).test(value)) return undefined
    return { type: "string_pattern_mismatch", msg: `String should match pattern '${pattern}'`, ctx: { pattern } }
  }
}

const extra: Body.Field = {
  check: (value) => {
    if (typeof value !== "string") return Body.text.check(value)
    if (value === "" || isObject(parseJson(value))) return undefined
    const suffix = parseJson(value) === undefined ? ", but encountered non-JSON in `extra` field" : ""
    const message = `The \`extra\` field must be a valid JSON object (e.g., {'key': 'value'})${suffix}`
    return { type: "value_error", msg: `Value error, ${message}`, ctx: { error: {} } }
  }
}

const fields = (call: Call) => ({
  connection_id: Body.required(connectionId),
  conn_type: Body.required(Body.text),
  description: Body.orNull(Body.text),
  host: Body.orNull(Body.text),
  login: Body.orNull(Body.text),
  schema: Body.orNull(Body.text),
  port: Body.orNull(Body.integer),
  password: Body.orNull(Body.text),
  extra: Body.orNull(extra),
  ...Body.team(call)
})

/** Before 3.3 Airflow crashes on an `extra` that is an object. */
const crashes = (call: Call): boolean => {
  const body = parseJson(call.request.body)
  return isObject(body) && isObject(body.extra) && !isAtLeast(call.version, "3.3")
}

const orderFields = {
  id: "",
  connection_id: "connection_id",
  conn_id: "connection_id",
  conn_type: "conn_type",
  description: "description",
  host: "host",
  port: "port"
}

export const list = (call: Call): Response => {
  const { query } = call.request
  const pattern = like(query.get("connection_id_pattern"))
  const found = [...call.deployment.metadata.connections].filter(([id]) => pattern.test(id))
    .map(([, connection]) => toJson(call, connection))
  const sorted = Lists.ordered(found, query.getAll("order_by"), orderFields)
  return Lists.page(call, "connections", sorted, (connection) => connection)
}

export const post = (call: Call): Response => {
  if (crashes(call)) return Responses.crash()
  const body = Body.read(call, fields(call))
  const { connections } = call.deployment.metadata
  const id = String(body.connection_id)
  if (connections.has(id)) return Responses.uniqueViolation(call, "connection", ["conn_id"])
  connections.set(id, body)
  return Responses.json(201, toJson(call, body))
}

export const get = (call: Call, id: string): Response => {
  const connection = call.deployment.metadata.connections.get(id)
  return connection === undefined ? notFound(id) : Responses.ok(toJson(call, connection))
}

export const patch = (call: Call, id: string): Response => {
  if (crashes(call)) return Responses.crash()
  const body = Body.read(call, fields(call))
  if (body.connection_id !== id) {
    return Responses.failure(400, "The connection_id in the request body does not match the URL parameter")
  }
  const known = call.deployment.metadata.connections.get(id)
  if (known === undefined) return notFound(id)
  const changed = { ...known, ...Body.masked(call, body) }
  call.deployment.metadata.connections.set(id, changed)
  return Responses.ok(toJson(call, changed))
}

export const deleteConnection = (call: Call, id: string): Response =>
  call.deployment.metadata.connections.delete(id) ? Responses.deleted() : notFound(id)

export const test = (): Response =>
  Responses.failure(
    403,
    "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it."
  )

export const patchBulk = (call: Call): Response => {
  const { connections } = call.deployment.metadata
  return Bulk.run(call, {
    noun: "connections with these connection_ids",
    idOf: (entity) => String(entity.connection_id),
    has: (id) => connections.has(id),
    put: (id, entity, replaces) => void connections.set(id, { ...replaces ? {} : connections.get(id), ...entity }),
    delete: (id) => void connections.delete(id)
  })
}
