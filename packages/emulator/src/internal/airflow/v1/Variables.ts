/** Variables in Airflow 2. */
import { Halt, type Json, noContent, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import type { Variable } from "../Metadata.js"
import * as Python from "../Python.js"
import { checkFields, maskedFields, objectBody } from "./Body.js"
import { ordered, page } from "./Lists.js"
import { badRequest, html, ok, problem } from "./Responses.js"

const toJson = (key: string, variable: Variable) => ({
  description: variable.description,
  key,
  value: variable.value
})

const readBody = (call: Call): Json => {
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

const notFound = (call: Call): Response => problem(call, 404, "Variable not found", "Variable does not exist")

export const list = (call: Call): Response => {
  const variables = [...call.deployment.metadata.variables].map(([key, variable]) => toJson(key, variable))
  return page(call, "variables", ordered(call, variables, { id: "", key: "key", value: "value" }), (item) => item)
}

export const get = (call: Call, key: string): Response => {
  const variable = call.deployment.metadata.variables.get(key)
  return variable === undefined ? notFound(call) : ok(toJson(key, variable))
}

export const post = (call: Call): Response => {
  const body = readBody(call)
  const description = typeof body.description === "string" ? body.description : null
  call.deployment.metadata.variables.set(String(body.key), { value: String(body.value), description })
  return ok(body)
}

export const patch = (call: Call, key: string): Response => {
  const { variables } = call.deployment.metadata
  const body = readBody(call)
  if (body.key !== key) {
    return problem(call, 400, "Invalid post body", "key from request body doesn't match uri parameter")
  }
  const known = variables.get(key)
  if (known === undefined) return notFound(call)
  const { description, value } = maskedFields(call, body, "key", { value: "val" })
  const changed = {
    value: typeof value === "string" ? value : known.value,
    description: typeof description === "string" ? description : known.description
  }
  variables.set(key, changed)
  return ok(toJson(key, changed))
}

export const deleteVariable = (call: Call, key: string): Response =>
  call.deployment.metadata.variables.delete(key)
    ? noContent({ "content-type": html })
    : problem(call, 404, "Variable not found", null)
