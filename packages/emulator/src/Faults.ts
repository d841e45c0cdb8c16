/**
 * Trouble on demand: what goes wrong with the next matching requests.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"

/**
 * - `Status`: this answer instead, nothing is carried out; `body` is JSON unless it is a string
 * - `Html`: the same with a gateway's page
 * - `DropBefore`: the connection breaks, nothing is carried out
 * - `DropAfter`: carried out, but the answer is lost
 * - `Cut`: carried out, and the connection breaks in the middle of the answer's body
 * - `Delay`: carried out and answered, later
 * - `Late`: received, and carried out once `after` completes, which the emulator runs. The connection breaks at once
 *   unless it is `answered`; the request is carried out also when its client is gone by then, and in the audit from then
 *   on. The token counts as it was on arrival: one that is deleted in between does not stop the request. An Airflow that
 *   was put to sleep, restarted or deleted in between has lost it, and does not carry it out.
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
  | { readonly _tag: "Late"; readonly after: Effect.Effect<void>; readonly answered?: boolean }

/**
 * `path` is tried on the whole target, query included (`/v1/organizations/…?names=x`); without `times` the fault happens
 * once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fault {
  readonly match: { readonly method?: string; readonly path?: RegExp }
  readonly times?: number
  readonly then: Outcome
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Faults {
  /** Adds a fault; of several that match, the one added first is used up first. */
  readonly next: (fault: Fault) => Effect.Effect<void>
  /** How often faults would still happen. */
  readonly pending: Effect.Effect<number>
  readonly clear: Effect.Effect<void>
}

/**
 * The faults still to happen, the oldest first.
 *
 * @since 0.1.0
 * @category models
 */
export type Queue = Array<{ readonly fault: Fault; left: number }>

/**
 * Uses up the first fault that matches.
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
