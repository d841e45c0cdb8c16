/** How Airflow 2 answers, and what it demands of a request. */
import { Halt, isObject, type Json, parseJson, type Reply, reply } from "../../Http.js"
import * as Python from "../Python.js"
import type { Call } from "../Site.js"

export const html = "text/html; charset=utf-8"

/** With its keys in order, as Flask prints them. */
export const ok = (body: unknown): Reply => reply(200, "application/json", `${JSON.stringify(sorted(body), null, 2)}\n`)

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const keys = Object.keys(value).sort()
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key])]))
}

export const plainProblem = (status: number, title: string, detail: string): Reply =>
  reply(
    status,
    "application/problem+json",
    `${JSON.stringify({ detail, status, title, type: "about:blank" }, null, 2)}\n`
  )

export const noRoute = (): Reply =>
  plainProblem(
    404,
    "Not Found",
    "The requested URL was not found on the server. " +
      "If you entered the URL manually please check your spelling and try again."
  )

/** With only those `fields` that were asked for. */
export const picked = (call: Call, item: Json): Json => {
  const asked = call.request.query.getAll("fields").flatMap((names) => names.split(","))
  return asked.length === 0 ? item : Object.fromEntries(Object.entries(item).filter(([name]) => asked.includes(name)))
}

const kinds: Readonly<Record<number, string>> = {
  403: "PermissionDenied",
  404: "NotFound",
  409: "AlreadyExists",
  500: "Unknown"
}

export const problem = (call: Call, status: number, title: string | null, detail: string | null): Reply => {
  const kind = kinds[status] ?? "BadRequest"
  const docs = `https://airflow.apache.org/docs/apache-airflow/${call.deployment.runtime.airflowVersion}`
  const type = `${docs}/stable-rest-api-ref.html#section/Errors/${kind}`
  return reply(status, "application/problem+json", `${JSON.stringify({ detail, status, title, type }, null, 2)}\n`)
}

export const badRequest = (call: Call, detail: string): Reply => problem(call, 400, "Bad Request", detail)

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

export const checkOrder = (call: Call, asked: string | null, known: ReadonlyArray<string>) => {
  const name = asked?.replace(/^-/, "")
  if (name !== undefined && !known.includes(name)) {
    const detail = `Ordering with '${name}' is disallowed or the attribute does not exist on the model`
    throw new Halt(badRequest(call, detail))
  }
}

/** By one of the fields, turned round with a `-`; as they are without one, and where the name says no more than that. */
export const ordered = <A extends Json>(
  call: Call,
  items: ReadonlyArray<A>,
  fields: Readonly<Record<string, string>>
): ReadonlyArray<A> => {
  const asked = call.request.query.get("order_by")
  checkOrder(call, asked, Object.keys(fields))
  const field = fields[asked?.replace(/^-/, "") ?? ""] ?? ""
  const rank = (a: unknown, b: unknown) =>
    (typeof a === "number" && typeof b === "number" ? a < b : String(a) < String(b)) ? -1 : 1
  const sorted = field === "" ? [...items] : [...items].sort((a, b) => rank(a[field], b[field]))
  return asked?.startsWith("-") === true ? sorted.reverse() : sorted
}

/** As a query parameter. */
const number = (call: Call, name: string, preset: number): number => {
  const given = Number(call.request.query.get(name) ?? preset)
  if (Number.isInteger(given)) return given
  throw new Halt(badRequest(call, `Wrong type, expected 'integer' for query parameter '${name}'`))
}

/** At most 100 at once, whatever was asked for; 0 asks for as many. */
export const slice = <A>(call: Call, all: ReadonlyArray<A>, maximum = 100): ReadonlyArray<A> => {
  const asked = number(call, "limit", 100)
  const offset = number(call, "offset", 0)
  if (asked < 0) throw new Halt(problem(call, 400, "Page limit must be a positive integer", null))
  return all.slice(offset, offset + Math.min(asked === 0 ? 100 : asked, maximum))
}

export const page = <A>(
  call: Call,
  name: string,
  all: ReadonlyArray<A>,
  toJson: (item: A) => unknown,
  maximum = 100
): Reply => ok({ [name]: slice(call, all, maximum).map(toJson), total_entries: all.length })

export const notFoundPage = (): Reply =>
  reply(
    404,
    html,
    "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <title>Airflow 404</title>\n  </head>\n  <body>\n    <h1>Airflow 404</h1>\n    <p>Page cannot be found.</p>\n  </body>\n</html>\n"
  )

export const crashPage = (): Reply =>
  reply(
    500,
    html,
    "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <body>\n    <h1> Ooops! </h1>\n    <pre>\nSomething bad has happened. For security reasons detailed information about the error is not logged.\n    </pre>\n  </body>\n</html>\n"
  )

/** Where not even Flask gets to answer. */
export const barePage = (): Reply =>
  reply(
    500,
    "text/html",
    "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
  )
