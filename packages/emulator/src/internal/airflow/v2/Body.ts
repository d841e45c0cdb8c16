/** Request bodies in Airflow 3: parsing, and validation with the messages of pydantic. */
import { Halt, isObject, type Json, parseJson } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"
import * as Responses from "./Responses.js"

export interface Field {
  readonly isRequired?: boolean
  readonly check: (value: unknown) => Responses.InputError | undefined
}

const typed = (type: string, name: string, isValid: (value: unknown) => boolean): Field => ({
  check: (value) => isValid(value) ? undefined : { type, msg: `Input should be a valid ${name}` }
})

/** Pydantic tries to parse a string. Here no string is parsed, so that each one gets the error of an unparsable one. */
const unparsed = (field: Field, error: Responses.InputError): Field => ({
  check: (value) => typeof value === "string" ? error : field.check(value)
})

export const text = typed("string_type", "string", (value) => typeof value === "string")
export const boolean = unparsed(typed("bool_type", "boolean", (value) => typeof value === "boolean"), {
  type: "bool_parsing",
  msg: "Input should be a valid boolean, unable to interpret input"
})
export const integer = unparsed(typed("int_type", "integer", Number.isInteger), Responses.unparsableInteger)
export const dictionary = typed("dict_type", "dictionary", isObject)
export const list = typed("list_type", "list", Array.isArray)
export const anything: Field = { check: () => undefined }

export const date: Field = {
  check: (value) => {
    if (Times.parse(value) !== undefined) return undefined
    if (typeof value !== "string") return { type: "datetime_type", msg: "Input should be a valid datetime" }
    if (Times.parse(`${value}Z`) !== undefined) {
      return { type: "timezone_aware", msg: "Input should have timezone info" }
    }
    const error = value.length < 10 ? "input is too short" : "invalid character in year"
    const msg = `Input should be a valid datetime or date, ${error}`
    return { type: "datetime_from_date_parsing", msg, ctx: { error } }
  }
}

export const orNull = (field: Field): Field => ({
  ...field,
  check: (value) => value === null ? undefined : field.check(value)
})

export const required = (field: Field): Field => ({ ...field, isRequired: true })

export const oneOf = (...values: ReadonlyArray<string>): Field => {
  const quoted = values.map((value) => `'${value}'`)
  const expected = `${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`
  return {
    check: (value) =>
      typeof value === "string" && values.includes(value)
        ? undefined
        : { type: "enum", msg: `Input should be ${expected}`, ctx: { expected } }
  }
}

/** The request's body, which has to be a JSON object. */
export const parse = (call: Call): Json => {
  const { body, headers } = call.request
  const refuse = (error: Responses.InputError, input: unknown, ...where: ReadonlyArray<number>): never => {
    throw new Halt(Responses.invalid(["body", ...where], error, input))
  }
  if (body === "") return refuse(Responses.fieldRequired, null)
  const isJson = headers["content-type"]?.includes("json") === true
  const parsed = isJson ? parseJson(body) : body
  if (parsed === undefined) {
    return refuse({ type: "json_invalid", msg: "JSON decode error", ctx: { error: jsonError(body) } }, {}, 1)
  }
  if (isObject(parsed)) return parsed
  const msg = "Input should be a valid dictionary or object to extract fields from"
  return refuse({ type: "model_attributes_type", msg }, parsed)
}

const jsonError = (body: string) =>
  body.startsWith("{") ? "Expecting property name enclosed in double quotes" : "Expecting value"

/** Everything that is wrong with a body that has these fields and no others. */
export const errorsOf = (body: Json, fields: Readonly<Record<string, Field>>) => {
  const errors = Object.entries(fields).flatMap(([name, field]) => {
    if (!(name in body)) {
      return field.isRequired === true ? [Responses.locatedError(["body", name], Responses.fieldRequired, body)] : []
    }
    const error = field.check(body[name])
    return error === undefined ? [] : [Responses.locatedError(["body", name], error, body[name])]
  })
  const forbidden = { type: "extra_forbidden", msg: "Extra inputs are not permitted" }
  const extra = Object.keys(body).filter((name) => !(name in fields)).map((name) =>
    Responses.locatedError(["body", name], forbidden, body[name])
  )
  return [...errors, ...extra]
}

/** The body, if it is valid. Otherwise the handler ends with all errors in it at once. */
export const read = (call: Call, fields: Readonly<Record<string, Field>>): Json => {
  const body = parse(call)
  const errors = errorsOf(body, fields)
  if (errors.length > 0) Responses.halt(422, errors)
  return body
}

/** The team of a variable, a connection or a pool, which they have since 3.2. */
export const team = (call: Call): Record<string, Field> =>
  isAtLeast(call.version, "3.2") ? { team_name: orNull(text) } : {}

/** The description after a change: `null` deletes it, and a body without one keeps it. */
export const description = (body: Json, known: { readonly description: string | null } | undefined): string | null => {
  if (!("description" in body)) return known?.description ?? null
  return typeof body.description === "string" ? body.description : null
}

/** The query parameter `update_mask`, which is repeated for several names. A comma is a part of a name. */
export const updateMask = (call: Call): ReadonlyArray<string> => call.request.query.getAll("update_mask")

/** The fields of the body that `update_mask` names; all without one. */
export const masked = (call: Call, body: Json): Json => {
  const mask = updateMask(call)
  return mask.length === 0 ? body : Object.fromEntries(Object.entries(body).filter(([name]) => mask.includes(name)))
}
