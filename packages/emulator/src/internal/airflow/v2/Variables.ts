/** Variables in Airflow 3. */
import type { Json, Response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import type { Variable } from "../Metadata.js"
import * as Python from "../Python.js"
import * as SecretsMasker from "../SecretsMasker.js"
import { isAtLeast } from "../Version.js"
import * as Body from "./Body.js"
import * as Bulk from "./Bulk.js"
import * as Lists from "./Lists.js"
import * as Responses from "./Responses.js"

const toJson = (call: Call, key: string, variable: Variable) => ({
  key,
  value: SecretsMasker.isSecret(key) ? "***" : variable.value,
  description: variable.description,
  is_encrypted: true,
  ...Responses.team(call)
})

const notFound = (key: string): Response => Responses.failure(404, `The Variable with key: \`${key}\` was not found`)

/** A value that is not a string becomes JSON since 3.3, and Python's `repr` before. */
const asText = (call: Call, value: unknown): string =>
  typeof value === "string" ? value : isAtLeast(call.version, "3.3") ? Python.dumps(value) : Python.repr(value)

const fields = (call: Call) => ({
  key: Body.required(Body.text),
  value: Body.required(Body.anything),
  description: Body.orNull(Body.text),
  ...Body.team(call)
})

/** Changes a variable. With `replaces`, nothing of an existing one is kept. */
const put = (call: Call, key: string, body: Json, replaces = false): Variable => {
  const { variables } = call.deployment.metadata
  const known = replaces ? undefined : variables.get(key)
  const changed = {
    value: "value" in body ? asText(call, body.value) : known?.value ?? "",
    description: Body.description(body, known)
  }
  variables.set(key, changed)
  return changed
}

const orderFields = {
  id: "",
  key: "key",
  _val: "value",
  description: "description",
  is_encrypted: "is_encrypted"
}

export const list = (call: Call): Response => {
  const { query } = call.request
  const pattern = like(query.get("variable_key_pattern"))
  const found = [...call.deployment.metadata.variables].filter(([key]) => pattern.test(key))
    .map(([key, variable]) => toJson(call, key, variable))
  const sorted = Lists.ordered(found, query.getAll("order_by"), orderFields)
  return Lists.page(call, "variables", sorted, (variable) => variable)
}

export const post = (call: Call): Response => {
  const body = Body.read(call, fields(call))
  const key = String(body.key)
  if (call.deployment.metadata.variables.has(key)) {
    return Responses.failure(409, `The Variable with key: \`${key}\` already exists`)
  }
  return Responses.json(201, toJson(call, key, put(call, key, body)))
}

export const get = (call: Call, key: string): Response => {
  const variable = call.deployment.metadata.variables.get(key)
  return variable === undefined ? notFound(key) : Responses.ok(toJson(call, key, variable))
}

export const patch = (call: Call, key: string): Response => {
  const body = Body.read(call, fields(call))
  if (body.key !== key) {
    return Responses.failure(400, "Invalid body, key from request body doesn't match uri parameter")
  }
  if (!call.deployment.metadata.variables.has(key)) return notFound(key)
  return Responses.ok(toJson(call, key, put(call, key, Body.masked(call, body))))
}

export const deleteVariable = (call: Call, key: string): Response =>
  call.deployment.metadata.variables.delete(key) ? Responses.deleted() : notFound(key)

export const patchBulk = (call: Call): Response => {
  const { variables } = call.deployment.metadata
  return Bulk.run(call, {
    noun: "variables with these keys",
    idOf: (entity) => String(entity.key),
    has: (key) => variables.has(key),
    put: (key, entity, replaces) => void put(call, key, entity, replaces),
    delete: (key) => void variables.delete(key)
  })
}
