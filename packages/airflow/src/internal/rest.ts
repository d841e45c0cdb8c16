/**
 * Calls below `/api/vN`, and lists of any length.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { AirflowApiError } from "../AirflowError.js"
import * as Polling from "../Polling.js"
import type { Call, Transport } from "./transport.js"

const pageSize = 100

export const make = ({ json, lines, text }: Transport, prefix: "/api/v1" | "/api/v2") => {
  const call = (method: Call["method"], operation: string, path: string, body?: unknown): Call => ({
    method,
    operation,
    path: `${prefix}${path}`,
    ...(body === undefined ? {} : { body })
  })
  const get = <A, I>(operation: string, path: string, schema: Schema.Schema<A, I>) =>
    json(call("GET", operation, path), schema)
  const change = (method: "POST" | "PATCH" | "PUT", operation: string, path: string, body?: unknown) =>
    Effect.asVoid(text(call(method, operation, path, body)))
  const remove = (operation: string, path: string) =>
    text(call("DELETE", operation, path)).pipe(
      Effect.asVoid,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.void)
    )

  /** Every page, counted by what came: the server may send fewer than were asked for, and move rows while they are read. */
  const pages = <A, I>(
    { body, keyOf, operation, page, path }: {
      readonly operation: string
      readonly path: string
      readonly page: Schema.Schema<{ readonly total: number; readonly rows: ReadonlyArray<A> }, I>
      readonly keyOf: (row: A) => string
      /** Sent with every page, to change what is on it. */
      readonly body?: unknown
    }
  ): Effect.Effect<ReadonlyArray<A>, AirflowApiError> => {
    const first = `${path}${path.includes("?") ? "&" : "?"}limit=${pageSize}`
    const from = (offset: number, found: ReadonlyMap<string, A>): Effect.Effect<ReadonlyArray<A>, AirflowApiError> => {
      const next = call(body === undefined ? "GET" : "PATCH", operation, `${first}&offset=${offset}`, body)
      return Effect.flatMap(json(next, page), ({ rows, total }) => {
        const all = new Map([...found, ...rows.map((row) => [keyOf(row), row] as const)])
        const seen = offset + rows.length
        return rows.length === 0 || seen >= total ? Effect.succeed(Array.from(all.values())) : from(seen, all)
      })
    }
    return from(0, new Map())
  }

  return { prefix, call, json, text, lines, get, change, remove, pages }
}

export type Rest = ReturnType<typeof make>

/**
 * Makes something, or makes what is there like it. Ends the same however often it is sent, so that a server's stumble (3.2 and 3.3
 * lock themselves out of SQLite at times) is no reason to fail.
 */
export const upsert = (create: Effect.Effect<void, AirflowApiError>, update: Effect.Effect<void, AirflowApiError>) =>
  create.pipe(
    Effect.catchIf((error) => error.kind === "conflict", () => update),
    Effect.retry({ schedule: Polling.backoff, times: 6, while: ({ retryable }) => retryable })
  )
