/**
 * Faults: what goes wrong with the next matching requests.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"

/**
 * - `Status`: responds with this status instead; nothing is carried out. A `body` that is not a string is sent as JSON.
 * - `Html`: like `Status`, with a gateway's HTML page.
 * - `DropBefore`: breaks the connection; nothing is carried out.
 * - `DropAfter`: carries the request out, then breaks the connection without a response.
 * - `Cut`: carries the request out, and breaks the connection in the middle of the response's body.
 * - `Delay`: carries the request out and responds, after this duration.
 * - `Late`: receives the request, and carries it out once `after` completes, which the emulator runs. The connection
 *   breaks at once unless `responds` is set. The request is carried out even if its client is gone by then, and the
 *   audit contains it from then on. Its token is checked on arrival: deleting the token later does not stop the
 *   request. An Airflow that has hibernated, restarted or been deleted in between has lost the request.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome =
  | {
    readonly _tag: "Status"
    readonly status: number
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: unknown
    readonly contentType?: string
  }
  | { readonly _tag: "Html"; readonly status: number }
  | { readonly _tag: "DropBefore" }
  | { readonly _tag: "DropAfter" }
  | { readonly _tag: "Cut" }
  | { readonly _tag: "Delay"; readonly duration: Duration.DurationInput }
  | { readonly _tag: "Late"; readonly after: Effect.Effect<void>; readonly responds?: boolean }

/**
 * What happens to requests that match. A `method` or `path` that is left out matches every request.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fault {
  /** `path` is searched in the path and query together, such as `/v1/organizations/…?names=x`. */
  readonly match: { readonly method?: string; readonly path?: RegExp }
  /** How many requests it applies to; 1 by default. */
  readonly times?: number
  readonly then: Outcome
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /** Adds a fault. If several match a request, the oldest one applies. */
  readonly next: (fault: Fault) => Effect.Effect<void>
  /** How many requests the faults still apply to. */
  readonly pending: Effect.Effect<number>
  readonly clear: Effect.Effect<void>
}

/**
 * The faults that still apply to requests, oldest first.
 *
 * @since 0.1.0
 * @category models
 */
export type Queue = Array<{ readonly fault: Fault; left: number }>

/**
 * Uses up the oldest fault that matches a request, and returns its outcome; `undefined` if none matches.
 *
 * @since 0.1.0
 * @category combinators
 */
export const take = (queue: Queue, method: string, target: string): Outcome | undefined => {
  const index = queue.findIndex(({ fault: { match } }) =>
    (match.method === undefined || match.method.toUpperCase() === method) &&
    (match.path === undefined || target.search(match.path) >= 0)
  )
  const found = queue[index]
  if (found === undefined) return undefined
  found.left -= 1
  if (found.left <= 0) queue.splice(index, 1)
  return found.fault.then
}
