/** Variables, connections and pools in Airflow 3. */
import { isObject, type Json, noContent, parseJson, type Reply } from "../../Http.js"
import * as Pools from "../Pools.js"
import * as Python from "../Python.js"
import * as Secrets from "../Secrets.js"
import { type Call, like } from "../Site.js"
import { isAtLeast } from "../Version.js"
import * as Answers from "./Answers.js"
import * as Bulk from "./Bulk.js"

const team = (call: Call): Json => Answers.from(call, "3.2", { team_name: null })

/** `null` takes it away. */
const described = (given: Json, known: { readonly description: string | null } | undefined): string | null =>
  "description" in given
    ? typeof given.description === "string" ? given.description : null
    : known?.description ?? null

const gone = (): Reply => noContent({ "content-type": "application/json" })

/** Fields that later versions take, too. */
const teamField = (call: Call): Record<string, Answers.Field> =>
  isAtLeast(call.version, "3.2") ? { team_name: Answers.orNull(Answers.text) } : {}

// ---------------------------------------------------------------------------------------------------------------------
// variables

const variableJson = (
  call: Call,
  key: string,
  variable: { readonly value: string; readonly description: string | null }
) => ({
  key,
  value: Secrets.isSecret(key) ? "***" : variable.value,
  description: variable.description,
  is_encrypted: true,
  ...team(call)
})

const noVariable = (key: string): Reply => Answers.failure(404, `The Variable with key: \`${key}\` was not found`)

/** What is no text becomes one; it is Python's up to 3.2. */
const asText = (call: Call, value: unknown): string =>
  typeof value === "string" ? value : isAtLeast(call.version, "3.3") ? Python.dumps(value) : Python.repr(value)

const variableFields = (call: Call) => ({
  key: Answers.required(Answers.text),
  value: Answers.required(Answers.anything),
  description: Answers.orNull(Answers.text),
  ...teamField(call)
})

const putVariable = (call: Call, key: string, given: Json, replaces = false) => {
  const { variables } = call.deployment.airflow
  const known = replaces ? undefined : variables.get(key)
  const changed = {
    value: "value" in given ? asText(call, given.value) : known?.value ?? "",
    description: described(given, known)
  }
  variables.set(key, changed)
  return changed
}

export const listVariables = (call: Call): Reply => {
  const { query } = call.request
  const pattern = like(query.get("variable_key_pattern"))
  const found = [...call.deployment.airflow.variables].filter(([key]) => pattern.test(key))
    .map(([key, variable]) => variableJson(call, key, variable))
  const known = { id: "", key: "key", _val: "value", description: "description", is_encrypted: "is_encrypted" }
  return Answers.page(
    call,
    "variables",
    Answers.ordered(found, query.getAll("order_by"), known),
    (variable) => variable
  )
}

export const postVariable = (call: Call): Reply => {
  const body = Answers.fields(call, variableFields(call))
  const key = String(body.key)
  if (call.deployment.airflow.variables.has(key)) {
    return Answers.failure(409, `The Variable with key: \`${key}\` already exists`)
  }
  return Answers.json(201, variableJson(call, key, putVariable(call, key, body)))
}

export const getVariable = (call: Call, key: string): Reply => {
  const variable = call.deployment.airflow.variables.get(key)
  return variable === undefined ? noVariable(key) : Answers.ok(variableJson(call, key, variable))
}

export const patchVariable = (call: Call, key: string): Reply => {
  const body = Answers.fields(call, variableFields(call))
  if (body.key !== key) {
    return Answers.failure(400, "Invalid body, key from request body doesn't match uri parameter")
  }
  if (!call.deployment.airflow.variables.has(key)) return noVariable(key)
  return Answers.ok(variableJson(call, key, putVariable(call, key, Answers.maskedBy(call, body))))
}

export const deleteVariable = (call: Call, key: string): Reply =>
  call.deployment.airflow.variables.delete(key) ? gone() : noVariable(key)

export const bulkVariables = (call: Call): Reply => {
  const { variables } = call.deployment.airflow
  return Bulk.run(call, {
    words: "variables with these keys",
    idOf: (entity) => String(entity.key),
    has: (key) => variables.has(key),
    put: (key, entity, replaces) => void putVariable(call, key, entity, replaces),
    remove: (key) => void variables.delete(key)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// connections

const connectionJson = (call: Call, fields: Json): Json => ({
  connection_id: fields.connection_id,
  conn_type: fields.conn_type,
  description: fields.description ?? null,
  host: fields.host ?? null,
  login: fields.login ?? null,
  schema: fields.schema ?? null,
  port: fields.port ?? null,
  password: typeof fields.password === "string" && fields.password !== "" ? "***" : null,
  extra: typeof fields.extra === "string" ? Secrets.masked(fields.extra) : null,
  ...team(call)
})

const noConnection = (id: string): Reply =>
  Answers.failure(404, `The Connection with connection_id: \`${id}\` was not found`)

const connectionId: Answers.Field = {
  check: (value) => {
    if (typeof value !== "string") return Answers.text.check(value)
    const pattern = "^[\\w.-]+$"
    if (new RegExp(pattern).test(value)) return undefined
    return { type: "string_pattern_mismatch", msg: `String should match pattern '${pattern}'`, ctx: { pattern } }
  }
}

const extra: Answers.Field = {
  check: (value) => {
    if (typeof value !== "string") return Answers.text.check(value)
    if (value === "" || isObject(parseJson(value))) return undefined
    const found = parseJson(value) === undefined ? ", but encountered non-JSON in `extra` field" : ""
    const words = `The \`extra\` field must be a valid JSON object (e.g., {'key': 'value'})${found}`
    return { type: "value_error", msg: `Value error, ${words}`, ctx: { error: {} } }
  }
}

const connectionFields = (call: Call) => ({
  connection_id: Answers.required(connectionId),
  conn_type: Answers.required(Answers.text),
  description: Answers.orNull(Answers.text),
  host: Answers.orNull(Answers.text),
  login: Answers.orNull(Answers.text),
  schema: Answers.orNull(Answers.text),
  port: Answers.orNull(Answers.integer),
  password: Answers.orNull(Answers.text),
  extra: Answers.orNull(extra),
  ...teamField(call)
})

/** An `extra` that is no text is more than these versions can refuse. */
const crashes = (call: Call): boolean => {
  const given = parseJson(call.request.body)
  return isObject(given) && isObject(given.extra) && !isAtLeast(call.version, "3.3")
}

export const listConnections = (call: Call): Reply => {
  const { query } = call.request
  const pattern = like(query.get("connection_id_pattern"))
  const found = [...call.deployment.airflow.connections].filter(([id]) => pattern.test(id))
    .map(([, connection]) => connectionJson(call, connection))
  const known = {
    id: "",
    connection_id: "connection_id",
    conn_id: "connection_id",
    conn_type: "conn_type",
    description: "description",
    host: "host",
    port: "port"
  }
  return Answers.page(call, "connections", Answers.ordered(found, query.getAll("order_by"), known), (found) => found)
}

export const postConnection = (call: Call): Reply => {
  if (crashes(call)) return Answers.crash()
  const body = Answers.fields(call, connectionFields(call))
  const { connections } = call.deployment.airflow
  const id = String(body.connection_id)
  if (connections.has(id)) return Answers.uniqueViolation(call, "connection", ["conn_id"])
  connections.set(id, body)
  return Answers.json(201, connectionJson(call, body))
}

export const getConnection = (call: Call, id: string): Reply => {
  const found = call.deployment.airflow.connections.get(id)
  return found === undefined ? noConnection(id) : Answers.ok(connectionJson(call, found))
}

export const patchConnection = (call: Call, id: string): Reply => {
  if (crashes(call)) return Answers.crash()
  const body = Answers.fields(call, connectionFields(call))
  if (body.connection_id !== id) {
    return Answers.failure(400, "The connection_id in the request body does not match the URL parameter")
  }
  const known = call.deployment.airflow.connections.get(id)
  if (known === undefined) return noConnection(id)
  const changed = { ...known, ...Answers.maskedBy(call, body) }
  call.deployment.airflow.connections.set(id, changed)
  return Answers.ok(connectionJson(call, changed))
}

export const deleteConnection = (call: Call, id: string): Reply =>
  call.deployment.airflow.connections.delete(id) ? gone() : noConnection(id)

export const testConnection = (): Reply =>
  Answers.failure(
    403,
    "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it."
  )

export const bulkConnections = (call: Call): Reply => {
  const { connections } = call.deployment.airflow
  return Bulk.run(call, {
    words: "connections with these connection_ids",
    idOf: (entity) => String(entity.connection_id),
    has: (id) => connections.has(id),
    put: (id, entity, replaces) => void connections.set(id, { ...replaces ? {} : connections.get(id), ...entity }),
    remove: (id) => void connections.delete(id)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// pools

const poolJson = (call: Call, name: string, pool: Pools.Pool) => ({ ...Pools.shape(call, name, pool), ...team(call) })

const noPool = (name: string): Reply => Answers.failure(404, `The Pool with name: \`${name}\` was not found`)

/** 3.0 takes any number. */
const slots = (call: Call): Answers.Field => ({
  check: (value) => {
    if (typeof value !== "number" || !Number.isInteger(value)) return Answers.integer.check(value)
    if (value >= -1 || !isAtLeast(call.version, "3.1")) return undefined
    return {
      type: "greater_than_equal",
      msg: "Input should be greater than or equal to -1",
      ctx: { ge: -1 }
    }
  }
})

const putPool = (call: Call, name: string, given: Json, replaces = false): Pools.Pool => {
  const known = replaces ? undefined : call.deployment.airflow.pools.get(name)
  const pool = {
    slots: Number(given.slots ?? known?.slots ?? 0),
    description: described(given, known),
    includeDeferred: typeof given.include_deferred === "boolean"
      ? given.include_deferred
      : known?.includeDeferred ?? false
  }
  Pools.save(call, name, pool)
  return pool
}

export const listPools = (call: Call): Reply => {
  const { query } = call.request
  const pattern = like(query.get("pool_name_pattern"))
  const found = [...call.deployment.airflow.pools].filter(([name]) => pattern.test(name))
    .map(([name, pool]) => poolJson(call, name, pool))
  const known = { id: "", pool: "name", name: "name", slots: "slots" }
  return Answers.page(call, "pools", Answers.ordered(found, query.getAll("order_by"), known), (pool) => pool)
}

export const postPool = (call: Call): Reply => {
  const body = Answers.fields(call, {
    name: Answers.required(Answers.text),
    slots: Answers.required(slots(call)),
    description: Answers.orNull(Answers.text),
    include_deferred: Answers.flag,
    ...teamField(call)
  })
  const name = String(body.name)
  if (call.deployment.airflow.pools.has(name)) return Answers.uniqueViolation(call, "slot_pool", ["pool"])
  // 3.0 cannot print how many slots of an endless pool are open
  if (body.slots === -1 && !isAtLeast(call.version, "3.1")) return Answers.crash()
  return Answers.json(201, poolJson(call, name, putPool(call, name, body)))
}

export const getPool = (call: Call, name: string): Reply => {
  const pool = call.deployment.airflow.pools.get(name)
  return pool === undefined ? noPool(name) : Answers.ok(poolJson(call, name, pool))
}

export const patchPool = (call: Call, name: string): Reply => {
  const body = Answers.fields(call, {
    name: Answers.orNull(Answers.text),
    pool: Answers.orNull(Answers.text),
    slots: Answers.orNull(slots(call)),
    description: Answers.orNull(Answers.text),
    include_deferred: Answers.orNull(Answers.flag),
    ...teamField(call)
  })
  const mask = call.request.query.getAll("update_mask")
  const given = body.pool ?? body.name ?? ""
  if (given !== "" && given !== name) {
    return Answers.failure(400, "Invalid body, pool name from request body doesn't match uri parameter")
  }
  if (!call.deployment.airflow.pools.has(name)) return noPool(name)
  if (name === "default_pool") {
    if (mask.length === 0 || mask.some((field) => field !== "slots" && field !== "include_deferred")) {
      return Answers.failure(400, "Only slots and included_deferred can be modified on Default Pool")
    }
  } else {
    const missing = incomplete(call, body, mask.length > 0)
    if (missing !== undefined) return missing
  }
  return Answers.ok(poolJson(call, name, putPool(call, name, Answers.maskedBy(call, body))))
}

/** A whole pool is demanded, from 3.2 on even where a mask names what is to change. */
const incomplete = (call: Call, body: Json, isMasked: boolean): Reply | undefined => {
  if (isMasked && !isAtLeast(call.version, "3.2")) return undefined
  const needed = ["pool", "slots", ...isAtLeast(call.version, "3.1") ? [] : ["description"], "include_deferred"]
  const flaws = needed.filter((field) => !(field in body)).map((field) => ({
    type: "missing",
    loc: [field],
    msg: "Field required",
    input: body,
    url: "https://errors.pydantic.dev/2.13/v/missing"
  }))
  return flaws.length === 0 ? undefined : Answers.failure(422, flaws)
}

export const deletePool = (call: Call, name: string): Reply => {
  if (name === "default_pool") return Answers.failure(400, "Default Pool can't be deleted")
  if (!call.deployment.airflow.pools.has(name)) return noPool(name)
  Pools.remove(call, name)
  return gone()
}

/** The default pool has no protection here. */
export const bulkPools = (call: Call): Reply =>
  Bulk.run(call, {
    words: "pools with these pool names",
    idOf: (entity) => String(entity.pool ?? entity.name),
    has: (name) => call.deployment.airflow.pools.has(name),
    put: (name, entity, replaces) => void putPool(call, name, entity, replaces),
    remove: (name) => Pools.remove(call, name)
  })
