/** Lists in Airflow 2: fields, order and pages. */
import { Halt, type Json, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import { badRequest, ok, problem } from "./Responses.js"

/** Only the fields that the query parameter `fields` names; all without one. */
export const selectFields = (call: Call, item: Json): Json => {
  const names = call.request.query.getAll("fields").flatMap((value) => value.split(","))
  return names.length === 0 ? item : Object.fromEntries(Object.entries(item).filter(([name]) => names.includes(name)))
}

export const checkOrder = (call: Call, orderBy: string | null, known: ReadonlyArray<string>) => {
  const name = orderBy?.replace(/^-/, "")
  if (name !== undefined && !known.includes(name)) {
    const detail = `Ordering with '${name}' is disallowed or the attribute does not exist on the model`
    throw new Halt(badRequest(call, detail))
  }
}

/**
 * Sorted by the query parameter `order_by`, descending with a `-`. `fields` maps its values to fields; an empty field
 * keeps the order.
 */
export const ordered = <A extends Json>(
  call: Call,
  items: ReadonlyArray<A>,
  fields: Readonly<Record<string, string>>
): ReadonlyArray<A> => {
  const orderBy = call.request.query.get("order_by")
  checkOrder(call, orderBy, Object.keys(fields))
  const field = fields[orderBy?.replace(/^-/, "") ?? ""] ?? ""
  const compare = (a: unknown, b: unknown) =>
    (typeof a === "number" && typeof b === "number" ? a < b : String(a) < String(b)) ? -1 : 1
  const sorted = field === "" ? [...items] : [...items].sort((a, b) => compare(a[field], b[field]))
  return orderBy?.startsWith("-") === true ? sorted.reverse() : sorted
}

const integerParameter = (call: Call, name: string, preset: number): number => {
  const given = Number(call.request.query.get(name) ?? preset)
  if (Number.isInteger(given)) return given
  throw new Halt(badRequest(call, `Wrong type, expected 'integer' for query parameter '${name}'`))
}

/** One page: at most `maximum` items, even with a larger `limit`. A limit of 0 means 100. */
export const slice = <A>(call: Call, all: ReadonlyArray<A>, maximum = 100): ReadonlyArray<A> => {
  const limit = integerParameter(call, "limit", 100)
  const offset = integerParameter(call, "offset", 0)
  if (limit < 0) throw new Halt(problem(call, 400, "Page limit must be a positive integer", null))
  return all.slice(offset, offset + Math.min(limit === 0 ? 100 : limit, maximum))
}

export const page = <A>(
  call: Call,
  name: string,
  all: ReadonlyArray<A>,
  toJson: (item: A) => unknown,
  maximum = 100
): Response => ok({ [name]: slice(call, all, maximum).map(toJson), total_entries: all.length })
