/** How Airflow 3 answers, and what it demands of a request. */
import { Halt, isObject, type Json, parseJson, type Reply, reply } from "../../Http.js"
import type { Call } from "../Site.js"
import * as Times from "../Times.js"
import { isAtLeast } from "../Version.js"

export const json = (status: number, body: unknown): Reply => reply(status, "application/json", JSON.stringify(body))

export const ok = (body: unknown): Reply => json(200, body)

export const failure = (status: number, detail: unknown): Reply => json(status, { detail })

/** For where no answer can be computed but this one. */
export const stop = (status: number, detail: unknown): never => {
  throw new Halt(failure(status, detail))
}

export const noRoute = (): Reply => json(404, { error: "API route not found" })

export const methodNotAllowed = (): Reply => failure(405, "Method Not Allowed")

export const crash = (): Reply => reply(500, "text/plain; charset=utf-8", "Internal Server Error")

/** Keys that are there from this version on. */
export const from = (call: Call, version: string, keys: Json): Json => isAtLeast(call.version, version) ? keys : {}

/** "DAG" became "Dag" in the messages, at a different time in each. */
export const dagWord = (call: Call, version: string): string => isAtLeast(call.version, version) ? "Dag" : "DAG"

/** What the database says of a row that is already there; from 3.2 on it says nothing. */
export const uniqueViolation = (call: Call, table: string, columns: ReadonlyArray<string>): Reply => {
  const isHidden = isAtLeast(call.version, "3.2")
  const names = columns.map((column) => `${table}.${column}`).join(", ")
  const statement = `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`
  return failure(409, {
    reason: "Unique constraint violation",
    statement: isHidden ? "hidden" : statement,
    orig_error: isHidden ? "hidden" : `UNIQUE constraint failed: ${names}`,
    message: "Serious error when handling your request. Check logs for more details - " +
      `you will find it in api server when you look for ID ${call.world.ids.text(8)}`
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// bodies, as pydantic checks them

export interface Flaw {
  readonly type: string
  readonly msg: string
  readonly ctx?: unknown
}

export interface Field {
  readonly isRequired?: boolean
  readonly check: (value: unknown) => Flaw | undefined
}

const typed = (type: string, words: string, isRight: (value: unknown) => boolean): Field => ({
  check: (value) => isRight(value) ? undefined : { type, msg: `Input should be a valid ${words}` }
})

/** A text is read first, and none is right here. */
const unread = (field: Field, type: string, msg: string): Field => ({
  check: (value) => typeof value === "string" ? { type, msg } : field.check(value)
})

const unreadInteger = "Input should be a valid integer, unable to parse string as an integer"

export const text = typed("string_type", "string", (value) => typeof value === "string")
export const flag = unread(
  typed("bool_type", "boolean", (value) => typeof value === "boolean"),
  "bool_parsing",
  "Input should be a valid boolean, unable to interpret input"
)
export const integer = unread(typed("int_type", "integer", Number.isInteger), "int_parsing", unreadInteger)
export const dictionary = typed("dict_type", "dictionary", isObject)
export const texts = typed("list_type", "list", Array.isArray)
export const anything: Field = { check: () => undefined }

export const date: Field = {
  check: (value) => {
    if (Times.read(value) !== undefined) return undefined
    if (typeof value !== "string") return { type: "datetime_type", msg: "Input should be a valid datetime" }
    if (Times.read(`${value}Z`) !== undefined) return { type: "timezone_aware", msg: "Input should have timezone info" }
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

/** In the order of pydantic's own. */
const errorOf = (loc: ReadonlyArray<string | number>, flaw: Flaw, input: unknown) => ({
  type: flaw.type,
  loc,
  msg: flaw.msg,
  input,
  ...(flaw.ctx === undefined ? {} : { ctx: flaw.ctx })
})

export const invalid = (loc: ReadonlyArray<string | number>, flaw: Flaw, input: unknown): Reply =>
  failure(422, [errorOf(loc, flaw, input)])

export const missing = { type: "missing", msg: "Field required" }

export const objectBody = (call: Call): Json => {
  const { body, headers } = call.request
  const refuse = (flaw: Flaw, input: unknown, ...where: ReadonlyArray<number>): never => {
    throw new Halt(invalid(["body", ...where], flaw, input))
  }
  if (body === "") return refuse(missing, null)
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

/** Of a body that has to have these fields and no others. */
export const flawsOf = (body: Json, known: Readonly<Record<string, Field>>) => {
  const flaws = Object.entries(known).flatMap(([name, field]) => {
    if (!(name in body)) return field.isRequired === true ? [errorOf(["body", name], missing, body)] : []
    const flaw = field.check(body[name])
    return flaw === undefined ? [] : [errorOf(["body", name], flaw, body[name])]
  })
  const extra = Object.keys(body).filter((name) => !(name in known)).map((name) =>
    errorOf(["body", name], { type: "extra_forbidden", msg: "Extra inputs are not permitted" }, body[name])
  )
  return [...flaws, ...extra]
}

/** The body; every flaw in it is reported at once. */
export const fields = (call: Call, known: Readonly<Record<string, Field>>): Json => {
  const body = objectBody(call)
  const flaws = flawsOf(body, known)
  if (flaws.length > 0) stop(422, flaws)
  return body
}

/** The given fields that the mask names; a mask of several names is several parameters, and commas mean nothing. */
export const maskedBy = (call: Call, body: Json): Json => {
  const mask = call.request.query.getAll("update_mask")
  return mask.length === 0 ? body : Object.fromEntries(Object.entries(body).filter(([name]) => mask.includes(name)))
}

// ---------------------------------------------------------------------------------------------------------------------
// lists

const number = (call: Call, name: string, preset: number): number => {
  const given = call.request.query.get(name)
  if (given === null) return preset
  if (!/^-?\d+$/.test(given)) {
    throw new Halt(invalid(["query", name], { type: "int_parsing", msg: unreadInteger }, given))
  }
  if (Number(given) >= 0) return Number(given)
  const flaw = { type: "greater_than_equal", msg: "Input should be greater than or equal to 0", ctx: { ge: 0 } }
  throw new Halt(invalid(["query", name], flaw, given))
}

export const slice = <A>(call: Call, all: ReadonlyArray<A>): ReadonlyArray<A> => {
  const offset = number(call, "offset", 0)
  return all.slice(offset, offset + number(call, "limit", 50))
}

export const page = <A>(call: Call, name: string, all: ReadonlyArray<A>, toJson: (item: A) => unknown): Reply =>
  ok({ [name]: slice(call, all).map(toJson), total_entries: all.length })

/** Lists of runs and tasks have more keys in later versions. */
export const cursors = (call: Call): Json => ({
  ...from(call, "3.3", { total_entries_limit: null }),
  ...from(call, "3.2", { next_cursor: null, previous_cursor: null })
})

/** By several fields, each with a `-` to turn it round. */
export const ordered = <A extends Json>(
  items: ReadonlyArray<A>,
  asked: ReadonlyArray<string>,
  known: Readonly<Record<string, string>>
): ReadonlyArray<A> => {
  const unknown = asked.map((name) => name.replace(/^-/, "")).find((name) => !(name in known))
  if (unknown !== undefined) {
    stop(400, `Ordering with '${unknown}' is disallowed or the attribute does not exist on the model`)
  }
  const compare = (a: unknown, b: unknown): number => {
    if (a === b) return 0
    if (a === null || a === undefined) return -1
    if (b === null || b === undefined) return 1
    return (typeof a === "number" && typeof b === "number" ? a < b : String(a) < String(b)) ? -1 : 1
  }
  return [...items].sort((a, b) => {
    for (const name of asked) {
      const field = known[name.replace(/^-/, "")] ?? ""
      const result = compare(a[field], b[field])
      if (result !== 0) return name.startsWith("-") ? -result : result
    }
    return 0
  })
}
