/**
 * The ledger's own time: it starts as the wall clock's and goes on by the host's uptime, so that a wall clock that jumps neither
 * frees a slot that is held nor keeps a dead one for ever. Every time in the ledger is of this kind, in milliseconds.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Host from "./Host.js"

/**
 * What a process reads off its clocks. Without boot id or uptime the wall clock has to do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Reading {
  readonly wall: number
  readonly bootId: string
  readonly uptime: number | null
}

/**
 * Reads the clock at hand and the host's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reader = (host: Host.Host): Effect.Effect<() => Reading> =>
  Effect.map(Effect.clock, (clock) => () => ({
    wall: clock.unsafeCurrentTimeMillis(),
    bootId: Host.bootOf(host.owner),
    uptime: host.uptime()
  }))

/**
 * What the ledger remembers of its first reading within a boot of the host.
 *
 * @since 0.1.0
 * @category models
 */
export interface Anchor {
  readonly bootId: string
  readonly wall: number
  readonly uptime: number
}

/**
 * The time, and the anchor to remember: a new one in a boot that the ledger has not seen, where time starts no earlier than the
 * last thing that the ledger knows of.
 *
 * @since 0.1.0
 * @category combinators
 */
export const resolve = (
  anchor: Anchor | undefined,
  { bootId, uptime, wall }: Reading,
  last: number
): { readonly now: number; readonly anchor: Anchor | undefined } => {
  if (uptime === null || bootId === "") return { now: Math.round(wall), anchor }
  // containers may share a boot and yet count their uptimes by themselves
  const known = anchor?.bootId === bootId && anchor.uptime <= uptime
    ? anchor
    : { bootId, wall: Math.max(wall, last), uptime }
  return { now: Math.round(known.wall + uptime - known.uptime), anchor: known }
}
