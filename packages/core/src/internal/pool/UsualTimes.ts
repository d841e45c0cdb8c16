/** How long the steps of leases usually take, from the events of recent holds. Shown to users, and used for nothing else. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DeploymentCache } from "../../DeploymentCache.js"
import type { LeaseId } from "../../Lease.js"
import type { EventKind, PoolEvent } from "../../Slot.js"
import type { PoolContext } from "./HeldSlot.js"

/** Where a hold is: in which step, and whether its deployment was created or woken for it, which later steps depend on. */
export interface Place {
  readonly filledBy: string
  readonly step: string
}

export const start: Place = { filledBy: "", step: "starting" }

/** Waiting in the queue, from the ticket to its grant. */
export const queue: Place = { filledBy: "", step: "queued" }

/** The place after a hold has begun another step. */
export const follow = ({ filledBy }: Place, activity: string): Place => {
  // without names, versions and reasons, which differ from hold to hold
  const step = activity.split(/[,:]/, 1)[0]!.replace(/\S*\d\S*/g, "…")
  return { filledBy: step === "creating" || step === "waking" ? step : filledBy, step }
}

/** The median of the recent times, if the events show any. */
export type UsualTimes = (place: Place) => Duration.Duration | undefined

export const unknown: UsualTimes = () => undefined

/** The events are the oldest first, and may begin in the middle of a hold. */
export const fromEvents = (events: ReadonlyArray<PoolEvent>): UsualTimes => {
  const open = new Map<LeaseId, { readonly place: Place; readonly at: number | undefined }>()
  const times = new Map<string, Array<number>>()
  for (const { at, detail, kind, leaseId } of events) {
    if (leaseId === null) continue
    const before = open.get(leaseId)
    if (before?.at !== undefined && !isCutShort(kind) && !(isQueue(before.place) && at - before.at < shortestWait)) {
      const known = times.get(keyOf(before.place)) ?? []
      times.set(keyOf(before.place), [...known.slice(1 - recent), at - before.at])
    }
    if (kind === "queued") open.set(leaseId, { place: queue, at })
    else if (kind === "step") open.set(leaseId, { place: follow(before?.place ?? start, detail), at })
    else open.set(leaseId, { place: isQueue(before?.place ?? start) ? start : before?.place ?? start, at: undefined })
  }
  return (place) => {
    const known = times.get(keyOf(place))
    return known === undefined ? undefined : Duration.millis(median(known))
  }
}

/** Reads the last events of the pool, at most once a minute. A ledger that cannot be read makes the times unknown, and fails nothing. */
export const make = <E>(context: Effect.Effect<PoolContext, E>): Effect.Effect<Effect.Effect<UsualTimes>> =>
  context.pipe(
    Effect.flatMap(({ cache, rules }): ReturnType<typeof DeploymentCache.Service["events"]> =>
      cache.events(rules.poolId, { last: lastEvents })
    ),
    Effect.withTracerEnabled(false),
    Effect.map(fromEvents),
    Effect.catchAllCause((cause) => Effect.as(Effect.logDebug("How long steps take is unknown.", cause), unknown)),
    Effect.cachedWithTTL("1 minute")
  )

// internal

const lastEvents = 2000
/** How many times of a step count. */
const recent = 15
/** Milliseconds: a ticket that was granted sooner, by one of its first polls, did not have to wait. */
const shortestWait = 500

const isQueue = ({ step }: Place) => step === queue.step

/** The step did not take its usual time. */
const isCutShort = (kind: EventKind) =>
  kind === "expired" || kind === "lapsed" || kind === "returned" || kind === "unfinished" || kind === "withdrawn"

const keyOf = ({ filledBy, step }: Place) => `${filledBy}\n${step}`

const median = (times: ReadonlyArray<number>) => {
  const sorted = [...times].sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2
}
