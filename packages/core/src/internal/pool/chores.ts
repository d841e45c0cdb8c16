/** The chores of a pool, such as hibernating a free deployment: what is to be done, and how. Each is done by a holder, under its own epoch. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { CacheError } from "../../CacheError.js"
import type { Deployment, DeploymentSpec } from "../../Deployment.js"
import type { ProviderError } from "../../DeploymentProvider.js"
import { LeaseId } from "../../Lease.js"
import type { Slot } from "../../Slot.js"
import type { Action, Report } from "../../Upkeep.js"
import type { Outcome } from "../policy/model.js"
import type { Chore, UpkeepRules } from "../policy/upkeep.js"
import * as Policy from "../policy/upkeep.js"
import { randomHex } from "../randomHex.js"
import * as Fence from "./Fence.js"
import type { PoolContext } from "./HeldSlot.js"
import * as HeldSlot from "./HeldSlot.js"
import * as Marker from "./Marker.js"
import * as PrepareSlot from "./PrepareSlot.js"

/** The pool that is taken care of. */
export interface Pool {
  readonly context: Effect.Effect<PoolContext, ProviderError>
  /** The spec of a slot that has none. */
  readonly spec: DeploymentSpec
  /** Lists the workspace's deployments and corrects the ledger. */
  readonly reconcile: (context: PoolContext) => Effect.Effect<ReadonlyArray<Deployment>, ProviderError | CacheError>
}

export const randomId = Effect.map(randomHex(6), (hex) => LeaseId.make(`upkeep-${hex}`))

/** Does every chore of the pool, or of one slot, a few slots at a time. */
export const round = (
  pool: Pool,
  context: PoolContext,
  upkeepRules: UpkeepRules,
  only?: number
): Effect.Effect<Report, ProviderError | CacheError> =>
  Effect.gen(function*() {
    const { all, chores } = yield* survey(pool, context, upkeepRules)
    const actions = yield* Effect.forEach(
      chores.filter(({ slot }) => only === undefined || slot.number === only),
      ({ chore, slot }) => tend(pool, context, slot, chore, upkeepRules, all),
      { concurrency: 4 }
    )
    const rest = yield* Effect.withTracerEnabled(remaining(context, all), false)
    return { actions: actions.flatMap(Option.toArray), ...rest }
  })

/** What is to be done, by the ledger and by the cloud. Without spans: it is a poll. */
export const survey = (pool: Pool, context: PoolContext, upkeepRules: UpkeepRules) =>
  Effect.gen(function*() {
    const { cache, prefix, rules } = context
    const all = yield* pool.reconcile(context)
    yield* cache.sweep(rules)
    const { now, slots } = yield* cache.inspect(rules.poolId)
    const chores = slots.flatMap((slot) => {
      const own = Policy.chore(slot, slots, rules, now, upkeepRules)
      const hasOlder = slot.holder === null && Marker.olderGenerations({ prefix, ...rules }, slot, all).length > 0
      return own !== undefined ? [{ slot, chore: own }] : hasOlder ? [{ slot, chore: "delete older" as const }] : []
    })
    return { all, chores }
  }).pipe(Effect.withTracerEnabled(false))

/** Which slots are held, and which deployments may be awake without a holder. */
export const remaining = (
  { cache, rules: { poolId } }: PoolContext,
  all: ReadonlyArray<Deployment>
): Effect.Effect<Omit<Report, "actions">, CacheError> =>
  Effect.map(cache.inspect(poolId), ({ slots }) => {
    const unknown = all.filter((deployment) =>
      Marker.hasMarker(poolId, deployment) && !deployment.hibernationRequested &&
      !slots.some(({ name }) => name === deployment.name)
    )
    return {
      held: slots.flatMap(({ holder, number }) =>
        holder === null
          ? []
          : [{ slot: number, kind: holder.kind, label: holder.label, activity: holder.activity }]
      ),
      awake: [
        ...slots.filter(({ holder, power }) => holder === null && power !== "asleep"),
        ...unknown
      ].flatMap(({ name }) => name ?? []),
      tokens: slots.filter(({ holder, tokens }) => holder === null && tokens.mayExist).map(({ name, number }) =>
        name ?? `slot ${number}`
      )
    }
  })

/** Does one chore as the slot's holder. `None`: the slot is no longer free. */
export const tend = (
  pool: Pool,
  context: PoolContext,
  { name, number }: Slot,
  chore: Chore,
  upkeepRules: UpkeepRules,
  all: ReadonlyArray<Deployment>,
  onError: (error: PrepareSlot.PrepareError) => void = () => {}
): Effect.Effect<Option.Option<Action>, CacheError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const claimant = { leaseId: yield* randomId, label: `upkeep: ${chore}` }
      const claimed = yield* context.cache.claim(context.rules, number, claimant)
      if (Option.isNone(claimed)) return Option.none()
      const granted = claimed.value
      const slot = HeldSlot.make(context, granted, granted.spec ?? pool.spec)
      const leftAlone = (detail: string): Action => ({
        slot: number,
        deployment: name ?? "",
        did: "left alone",
        detail
      })
      const free = (usable: Outcome["usable"]) => Effect.ignore(slot.free({ clean: false, usable }))
      const tended = Effect.gen(function*() {
        const { lost } = yield* slot.keepAlive
        yield* Effect.raceFirst(work(slot, granted, chore, upkeepRules, all), lost)
        return { ...leftAlone(""), did: chore }
      }).pipe(
        Effect.catchTag("SlotContested", ({ message }) =>
          Effect.gen(function*() {
            yield* slot.giveBack(yield* Random.nextIntBetween(10_000, 30_000))
            return leftAlone(message)
          })),
        Effect.catchAll((error) =>
          Effect.gen(function*() {
            onError(error)
            const usable = PrepareSlot.outcomeOf(error)
            // a deployment that cannot be emptied need not stay awake
            if (usable !== "unknown") {
              yield* Effect.ignore(PrepareSlot.release(slot, Option.none(), { clean: false, usable }))
            }
            yield* free(usable)
            return leftAlone(error.message)
          })
        ),
        Effect.scoped
      )
      return yield* restore(tended).pipe(
        // it stopped between two requests: the next holder has to check power and tokens again
        Effect.onInterrupt(() => Effect.zipRight(Effect.ignore(slot.write({ power: "unknown" })), free("unknown"))),
        Effect.asSome,
        Effect.annotateLogs({ "lease.id": claimant.leaseId, slot: number, epoch: granted.epoch })
      )
    })
  ).pipe(Effect.withSpan("Upkeep.tend", { attributes: { slot: number, chore, "deployment.name": name ?? "" } }))

// internal

const work = (
  slot: HeldSlot.HeldSlot,
  granted: Slot,
  chore: Chore,
  upkeepRules: UpkeepRules,
  all: ReadonlyArray<Deployment>
): Effect.Effect<void, PrepareSlot.PrepareError> =>
  Effect.gen(function*() {
    switch (chore) {
      case "delete older":
        yield* PrepareSlot.deleteOlder(slot, granted.generation, all)
        return yield* slot.free({ clean: false, usable: "unknown" })
      case "revoke": {
        // tokens end with their deployments
        const isLast = yield* PrepareSlot.deleteOlder(slot, granted.generation, all)
        const { tokens: { version } } = yield* slot.current
        const known = yield* PrepareSlot.find(slot, granted)
        if (isLast && Option.isSome(known)) yield* Fence.revoke(slot, known.value.id, Option.none())
        if (isLast && Option.isNone(known)) yield* slot.write({ noTokens: version })
        return yield* slot.free({ clean: false, usable: "unknown" })
      }
      case "delete":
        yield* PrepareSlot.empty(slot, granted)
        return yield* slot.free({ clean: false, usable: "unknown" })
      case "recycle": {
        const prepared = yield* PrepareSlot.prepare(slot, granted, Option.some("which is due to be replaced"))
        return yield* PrepareSlot.release(slot, Option.some(prepared), asGood)
      }
      case "reset": {
        const prepared = yield* PrepareSlot.prepare(slot, granted)
        if (!upkeepRules.resetAhead) return yield* PrepareSlot.release(slot, Option.some(prepared), asGood)
        const { deployment, own } = prepared
        // now, because the next holder would have to wait until the revocation takes effect
        yield* Fence.revoke(slot, deployment.id, own)
        return yield* slot.free(asGood)
      }
      case "hibernate": {
        const known = Option.getOrUndefined(yield* PrepareSlot.find(slot, granted))
        if (upkeepRules.resetAhead && granted.quarantine === null && known?.isAwake === true) {
          return yield* PrepareSlot.release(slot, Option.some(yield* PrepareSlot.prepare(slot, granted)), asGood)
        }
        if (known?.hibernationRequested === true) {
          yield* slot.write({ deploymentId: known.id, power: "asleep" })
          yield* Fence.revoke(slot, known.id, Option.none())
        } else {
          // another ledger may be using an awake deployment: a holder has to mint its token before it checks for that (counterexample 9)
          const fence = known === undefined ? undefined : yield* Fence.mint(slot, known)
          yield* PrepareSlot.hibernate(slot, fence?.own ?? Option.none())
        }
        return yield* slot.free({ clean: false, usable: "unknown" })
      }
    }
  }).pipe(Effect.asVoid)

const asGood: Outcome = { clean: true, usable: true }
