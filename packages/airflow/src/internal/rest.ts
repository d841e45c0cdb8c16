/**
 * Requests below `/api/vN`, and lists of any length.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { AirflowApiError } from "../AirflowError.js"
import * as Polling from "../Polling.js"
import * as transport from "./transport.js"

const pageSize = 100

/** Enough for a hundred thousand rows. */
const maxPages = 1000

export const make = ({ json, lines, text }: transport.Transport, prefix: "/api/v1" | "/api/v2") => {
  const call = (method: transport.Call["method"], operation: string, path: string, body?: unknown): transport.Call => ({
    method,
    operation,
    path: `${prefix}${path}`,
    ...(body === undefined ? {} : { body })
  })
  const get = <A, I>(operation: string, path: string, schema: Schema.Schema<A, I>) =>
    json(call("GET", operation, path), schema)
  const change = (method: "POST" | "PATCH" | "PUT", operation: string, path: string, body?: unknown) =>
    Effect.asVoid(text(call(method, operation, path, body)))
  const deleteIfExists = (operation: string, path: string) =>
    text(call("DELETE", operation, path)).pipe(
      Effect.asVoid,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.void)
    )

  /**
   * The rows of all pages. The next offset is the number of rows received, because the server may send fewer than
   * requested. Rows that move to a later page meanwhile are received twice, so they are collected by their keys.
   */
  const pages = <A, I>(
    { body, keyOf, operation, page, path }: {
      readonly operation: string
      readonly path: string
      readonly page: Schema.Schema<{ readonly total: number; readonly rows: ReadonlyArray<A> }, I>
      readonly keyOf: (row: A) => string
      /** Sent with each request, to change the rows of the page. */
      readonly body?: unknown
    }
  ): Effect.Effect<ReadonlyArray<A>, AirflowApiError> => {
    const limited = `${path}${path.includes("?") ? "&" : "?"}limit=${pageSize}`
    const pagesFrom = (
      offset: number,
      requests: number,
      previous: ReadonlyMap<string, A>
    ): Effect.Effect<ReadonlyArray<A>, AirflowApiError> => {
      const request = call(body === undefined ? "GET" : "PATCH", operation, `${limited}&offset=${offset}`, body)
      return Effect.flatMap(json(request, page), ({ rows, total }) => {
        const all = new Map([...previous, ...rows.map((row) => [keyOf(row), row] as const)])
        const received = offset + rows.length
        if (rows.length === 0 || received >= total) return Effect.succeed(Array.from(all.values()))
        return requests < maxPages
          ? pagesFrom(received, requests + 1, all)
          : transport.tooLarge(operation, `a list of more than ${maxPages} pages`)
      })
    }
    return pagesFrom(0, 1, new Map())
  }

  const requireAddressable = (operation: string, path: string) =>
    transport.requireAddressable(operation, `${prefix}${path}`)

  return { prefix, call, requireAddressable, json, text, lines, get, change, deleteIfExists, pages }
}

export type Rest = ReturnType<typeof make>

/**
 * Creates something, or updates it if it exists. Both have the same result however often they are sent, so they are
 * retried after a server error: Airflow 3.2 and 3.3 sometimes find their SQLite database locked.
 */
export const upsert = (create: Effect.Effect<void, AirflowApiError>, update: Effect.Effect<void, AirflowApiError>) =>
  create.pipe(
    Effect.catchIf((error) => error.kind === "conflict", () => update),
    Effect.retry({ schedule: Polling.backoff, times: 6, while: ({ retryable }) => retryable })
  )
