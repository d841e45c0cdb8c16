/** Lists in Airflow 3: order and pages. */
import { Halt, type Json, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Responses from "./Responses.js"

const integerParameter = (call: Call, name: string, preset: number): number => {
  const given = call.request.query.get(name)
  if (given === null) return preset
  if (!/^-?\d+$/.test(given)) {
    throw new Halt(Responses.invalid(["query", name], Responses.unparsableInteger, given))
  }
  if (Number(given) >= 0) return Number(given)
  const error = { type: "greater_than_equal", msg: "Input should be greater than or equal to 0", ctx: { ge: 0 } }
  throw new Halt(Responses.invalid(["query", name], error, given))
}

export const slice = <A>(call: Call, all: ReadonlyArray<A>): ReadonlyArray<A> => {
  const offset = integerParameter(call, "offset", 0)
  return all.slice(offset, offset + integerParameter(call, "limit", 50))
}

export const page = <A>(call: Call, name: string, all: ReadonlyArray<A>, toJson: (item: A) => unknown): Response =>
  Responses.ok({ [name]: slice(call, all).map(toJson), total_entries: all.length })

/** Fields that later versions add to lists of runs and tasks. */
export const cursors = (call: Call): Json => ({
  ...Responses.since(call, "3.3", { total_entries_limit: null }),
  ...Responses.since(call, "3.2", { next_cursor: null, previous_cursor: null })
})

/**
 * Sorted by the names in `orderBy`, descending with a `-`. `fields` maps the names to fields; an empty field keeps the
 * order.
 */
export const ordered = <A extends Json>(
  items: ReadonlyArray<A>,
  orderBy: ReadonlyArray<string>,
  fields: Readonly<Record<string, string>>
): ReadonlyArray<A> => {
  const unknown = orderBy.map((name) => name.replace(/^-/, "")).find((name) => !(name in fields))
  if (unknown !== undefined) {
    Responses.halt(400, `Ordering with '${unknown}' is disallowed or the attribute does not exist on the model`)
  }
  const compare = (a: unknown, b: unknown): number => {
    if (a === b) return 0
    if (a === null || a === undefined) return -1
    if (b === null || b === undefined) return 1
    return (typeof a === "number" && typeof b === "number" ? a < b : String(a) < String(b)) ? -1 : 1
  }
  return [...items].sort((a, b) => {
    for (const name of orderBy) {
      const field = fields[name.replace(/^-/, "")] ?? ""
      const result = compare(a[field], b[field])
      if (result !== 0) return name.startsWith("-") ? -result : result
    }
    return 0
  })
}
