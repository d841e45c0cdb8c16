/** Request bodies in Airflow 2: parsing, and the checks before anything is carried out. */
import { Halt, isObject, type Json, parseJson } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Python from "../Python.js"
import { badRequest, plainProblem, problem } from "./Responses.js"

/** The request's body, which has to be a JSON object. */
export const objectBody = (call: Call): Json => {
  const { body, headers } = call.request
  if (headers["content-type"]?.includes("json") !== true) {
    const type = headers["content-type"] ?? ""
    throw new Halt(plainProblem(415, "Unsupported Media Type", `Invalid Content-type (${type}), expected JSON data`))
  }
  const parsed = parseJson(body)
  if (parsed === undefined) throw new Halt(badRequest(call, "Request body is not valid JSON"))
  if (!isObject(parsed)) throw new Halt(badRequest(call, `${Python.repr(parsed)} is not of type 'object'`))
  return parsed
}

export const checkFields = (call: Call, body: Json, known: ReadonlyArray<string>, title = "Bad Request") => {
  const unknown = Object.keys(body).find((key) => !known.includes(key))
  if (unknown !== undefined) throw new Halt(problem(call, 400, title, `{'${unknown}': ['Unknown field.']}`))
}

/** The names in the query parameter `update_mask`; `undefined` without one. */
export const updateMask = (call: Call): ReadonlyArray<string> | undefined =>
  call.request.query.get("update_mask")?.split(",").map((name) => name.trim())

/**
 * The fields of the body that `update_mask` names. It names a field by Airflow's internal name for it, if it has one in
 * `internalNames`. The field `fixed` cannot be updated.
 */
export const maskedFields = (
  call: Call,
  body: Json,
  fixed: string,
  internalNames: Readonly<Record<string, string>> = {}
): Json => {
  const mask = updateMask(call)
  if (mask === undefined) return body
  const found = Object.entries(body).filter(([key]) => key !== fixed && mask.includes(internalNames[key] ?? key))
  const unknown = mask.find((name) => !found.some(([key]) => (internalNames[key] ?? key) === name))
  if (unknown !== undefined) throw new Halt(badRequest(call, `'${unknown}' is unknown or cannot be updated.`))
  return Object.fromEntries(found)
}
