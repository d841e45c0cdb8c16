/**
 * The time of a ledger that is stored on the host, in milliseconds. It starts as the host's wall clock and advances with
 * the host's uptime, so that a jump of the wall clock neither frees a slot that is held nor keeps a dead holder for ever.
 */
import * as Effect from "effect/Effect"
import * as Host from "../../Host.js"

/** What a process reads from its clocks. Without a boot id or an uptime only the wall clock counts. */
export interface Reading {
  readonly wall: number
  readonly bootId: string
  readonly uptime: number | null
}

/** Reads the current Clock and the host's uptime, at each call. */
export const reader = (host: Host.Host): Effect.Effect<() => Reading> =>
  Effect.map(Effect.clock, (clock) => () => ({
    wall: clock.unsafeCurrentTimeMillis(),
    bootId: Host.bootOf(host.owner),
    uptime: host.uptime()
  }))

/** The first reading within a boot of the host. The ledger stores it. */
export interface Anchor {
  readonly bootId: string
  readonly wall: number
  readonly uptime: number
}

/**
 * Returns the ledger's time and the anchor to store. In a boot that the ledger has not seen, the anchor is new, and
 * time starts no earlier than `last`, the latest time that the ledger has recorded.
 */
export const resolve = (
  anchor: Anchor | undefined,
  { bootId, uptime, wall }: Reading,
  last: number
): { readonly now: number; readonly anchor: Anchor | undefined } => {
  if (uptime === null || bootId === "") return { now: Math.round(wall), anchor }
  // containers can share a boot id and still count their uptimes separately
  const known = anchor?.bootId === bootId && anchor.uptime <= uptime
    ? anchor
    : { bootId, wall: Math.max(wall, last), uptime }
  return { now: Math.round(known.wall + uptime - known.uptime), anchor: known }
}
