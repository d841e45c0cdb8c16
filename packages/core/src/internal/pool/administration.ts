/** What an administrator does to one slot: end its hold, or empty its deployment. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { DeploymentInUse, DeploymentNotFound, SlotFree, SlotNotFound } from "../../AdministrationError.js"
import type { CacheError } from "../../CacheError.js"
import type { Snapshot } from "../../DeploymentCache.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import type { AcquireTimeout, PoolError, TicketEnded } from "../../PoolError.js"
import type { Slot } from "../../Slot.js"
import type { Emptied, Released } from "../../Upkeep.js"
import { isBusy, isTakenBack, waiting } from "../policy/slots.js"
import * as Policy from "../policy/upkeep.js"
import * as Chores from "./chores.js"
import type { PoolContext } from "./HeldSlot.js"
import type * as PrepareSlot from "./PrepareSlot.js"
import * as Upkeep from "./upkeep.js"

/** Expires the holder of a slot, and does the slot's chore. If that fails, the hold has ended all the same. */
export const release = (
  pool: Chores.Pool,
  number: number
): Effect.Effect<Released, ProviderError | CacheError | SlotNotFound | SlotFree> =>
  Effect.gen(function*() {
    const context = yield* pool.context
    const { cache, rules } = context
    // the slot may have work left, which a reaper has to do if this process ends (counterexample 20)
    const expired = yield* Effect.uninterruptible(
      Effect.zipLeft(cache.expire(rules, number), Effect.catchAll(context.ensureReaper, Effect.logWarning))
    )
    if (Option.isNone(expired)) {
      const { slots } = yield* cache.inspect(rules.poolId)
      return yield* new SlotNotFound({ slot: number, slots: slots.map((slot) => slot.number) })
    }
    const { holder, name } = expired.value
    if (holder === null) return yield* new SlotFree({ slot: number })
    const actions = yield* Chores.round(pool, context, Policy.once, number).pipe(
      Effect.map((report) => report.actions),
      Effect.catchAll(({ message }) =>
        Effect.succeed([{ slot: number, deployment: name ?? "", did: "left alone" as const, detail: message }])
      )
    )
    const { now, slots } = yield* cache.inspect(rules.poolId)
    const after = slots.find((slot) => slot.number === number)
    return {
      slot: number,
      deployment: name,
      holder,
      actions,
      busyUntil: after !== undefined && isBusy(after, now) ? after.busyUntil : null
    }
  }).pipe(Effect.withSpan("Administration.release", { attributes: { slot: number } }))

/** Prepares a free slot as upkeep does, which wakes, resets and verifies, and hibernates its deployment again. */
export const reset = (
  pool: Chores.Pool,
  deployment: string
): Effect.Effect<
  Emptied,
  Exclude<PoolError, AcquireTimeout | TicketEnded> | DeploymentNotFound | DeploymentInUse
> =>
  Effect.gen(function*() {
    const context = yield* pool.context
    const { cache, rules } = context
    const all = yield* pool.reconcile(context)
    yield* cache.sweep(rules)
    const { now, run, slots, upkeep } = yield* cache.outlook(rules)
    const slot = slots.find(({ deploymentId, name }) => deploymentId === deployment || name === deployment)
    if (slot === undefined) {
      return yield* new DeploymentNotFound({ deployment, deployments: slots.flatMap(({ name }) => name ?? []) })
    }
    if (isTakenBack(slot, now)) {
      const reason = "is adopted, and the hibernation that its user had requested has ended"
      return yield* inUse(
        deployment,
        slot,
        reason,
        "It is its user's again; hibernate it in Astro's pages to lend it to the pool."
      )
    }
    yield* context.ensureReaper
    // one that hibernates is not kept awake, although a run would keep it awake if it were
    const staysAwake = run !== undefined && upkeep !== undefined && slot.power === "awake"
    let failure: Exclude<PrepareSlot.PrepareError, { readonly _tag: "SlotContested" }> | undefined
    const tended = yield* Chores.tend(
      pool,
      Upkeep.withReset(context, run),
      slot,
      "reset",
      staysAwake ? Policy.rulesOf(run) : Policy.once,
      all,
      (error) => void (failure = error._tag === "SlotContested" ? undefined : error)
    )
    if (failure !== undefined) return yield* failure
    const after = yield* cache.inspect(rules.poolId)
    if (Option.isNone(tended)) return yield* unavailable(deployment, context, slot, after)
    if (tended.value.did === "left alone") {
      return yield* inUse(deployment, slot, "was left alone", tended.value.detail)
    }
    const { name, power } = after.slots.find(({ number }) => number === slot.number) ?? slot
    return { slot: slot.number, deployment: name ?? deployment, isAwake: power !== "asleep" }
  }).pipe(Effect.withSpan("Administration.reset", { attributes: { "deployment.name": deployment } }))

// internal

const inUse = (deployment: string, { name, number }: Slot, reason: string, remedy: string) =>
  new DeploymentInUse({ deployment: name ?? deployment, slot: number, reason, remedy })

/** Why a slot could not be claimed. */
const unavailable = (
  deployment: string,
  { rules }: PoolContext,
  before: Slot,
  snapshot: Snapshot
): DeploymentInUse => {
  const slot = snapshot.slots.find(({ number }) => number === before.number) ?? before
  if (slot.holder !== null) {
    const { activity, kind, label } = slot.holder
    return inUse(
      deployment,
      slot,
      `is held by ${kind === "lease" ? `the lease of ${label}` : label} (${activity})`,
      `Wait until that has ended, or end it: \`airflow-resource release ${slot.number} --yes\`.`
    )
  }
  if (slot.busyUntil !== null && isBusy(slot, snapshot.now)) {
    const until = DateTime.formatIso(DateTime.unsafeMake(slot.busyUntil)).slice(11, 19)
    return inUse(deployment, slot, `may still be changing until ${until} UTC`, "Try again then.")
  }
  const [first] = waiting(snapshot)
  return inUse(
    deployment,
    slot,
    first === undefined ? "was taken a moment ago" : `is about to be leased to ${first.label}, which waits for it`,
    `A lease empties it before it uses it. Try again when no lease waits; the pool has up to ${rules.max} deployments.`
  )
}
