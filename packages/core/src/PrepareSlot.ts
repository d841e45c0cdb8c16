/**
 * What a holder does before its slot may be used: create or wake, mint, wait until Airflow is ready, prove that it is
 * empty. And what it does when it is done: hand over, or hibernate and free.
 *
 * @since 0.1.0
 */
import type { Airflow } from "@airflow-resource/airflow/Airflow"
import type { AirflowApiError, AirflowNotReady } from "@airflow-resource/airflow/AirflowError"
import * as AirflowReadiness from "@airflow-resource/airflow/AirflowReadiness"
import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { CacheError } from "./CacheError.js"
import type { Deployment } from "./Deployment.js"
import type { DeploymentProvider, ProviderError } from "./DeploymentProvider.js"
import type { Seen } from "./DeploymentWatch.js"
import * as Fence from "./Fence.js"
import type { HeldSlot } from "./HeldSlot.js"
import { request, step, write } from "./HeldSlot.js"
import type { LeaseLost } from "./Lease.js"
import * as Marker from "./Marker.js"
import * as PoolPolicy from "./PoolPolicy.js"
import type { Slot } from "./Slot.js"

/**
 * A deployment did not become healthy in time.
 *
 * @since 0.1.0
 * @category errors
 */
export class DeploymentNotHealthy
  extends Schema.TaggedError<DeploymentNotHealthy>("@airflow-resource/core/DeploymentNotHealthy")(
    "DeploymentNotHealthy",
    { name: Schema.String, status: Schema.String, waited: Schema.DurationFromSelf, uiUrl: Schema.String }
  )
{
  override get message(): string {
    return `The deployment ${this.name} is ${this.status} after ${Duration.format(this.waited)}. ` +
      `Look at it on ${this.uiUrl}, or allow more time (healthyTimeout).`
  }
  readonly retryable = true
}

/**
 * A deployment could not be emptied, so that it is not handed out.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlotNotClean extends Schema.TaggedError<SlotNotClean>("@airflow-resource/core/SlotNotClean")(
  "SlotNotClean",
  { name: Schema.String, leftovers: Schema.Array(Schema.String) }
) {
  override get message(): string {
    return `The deployment ${this.name} could not be emptied of: ${
      this.leftovers.join(", ")
    }. Something outside writes to it, or its image brings this along: then keep it (AIRFLOW_RESOURCE_KEEP).`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category errors
 */
export type PrepareError =
  | ProviderError
  | CacheError
  | LeaseLost
  | AirflowNotReady
  | AirflowApiError
  | DeploymentNotHealthy
  | SlotNotClean
  | Fence.SlotContested

/**
 * What a prepared slot offers.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedSlot extends Fence.Fence {
  readonly deployment: Deployment
  readonly reused: "awake" | "woken" | "created"
  readonly airflow: Airflow
}

/**
 * Makes a granted slot usable. Can be interrupted between cloud requests, never inside one. With `why` what fills the slot is
 * replaced in any case.
 *
 * @since 0.1.0
 * @category combinators
 */
export const prepare = (
  slot: HeldSlot,
  granted: Slot,
  why: Option.Option<string> = Option.none()
): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const filled = yield* fill(slot, granted, why)
    return yield* equip(slot, filled).pipe(
      Effect.catchIf(
        // a new one that is dirty would be followed by another; one that was adopted is not ours to delete
        (error): error is SlotNotClean =>
          error._tag === "SlotNotClean" && filled.reused !== "created" && !granted.adopted,
        ({ leftovers }) =>
          Effect.gen(function*() {
            const dirty = yield* write(slot, {})
            const why = `which cannot be emptied of ${leftovers.slice(0, 3).join(", ")}`
            return yield* equip(slot, yield* replace(slot, dirty, filled.deployment, why))
          })
      )
    )
  })

/**
 * Ends a hold: pauses the DAGs, then hands the slot over to the queue's head, leaves it to upkeep where that is alive, or
 * hibernates, deletes the own token and frees it. Makes no cloud request that its ledger does not know of.
 *
 * @since 0.1.0
 * @category combinators
 */
export const release = (
  slot: HeldSlot,
  prepared: Option.Option<PreparedSlot>,
  outcome: PoolPolicy.Outcome
): Effect.Effect<void, CacheError | LeaseLost | ProviderError> =>
  Effect.gen(function*() {
    if (Option.isSome(prepared)) {
      yield* step(slot, "pausing DAGs")
      yield* prepared.value.airflow.pauseAll.pipe(
        (paused) => TimeLimit.fail(paused, { limit: "5 seconds", onTimeout: () => new Cause.TimeoutException() }),
        Effect.catchAll((error) => Effect.logWarning("the DAGs could not be paused; the next holder does it", error))
      )
      if (yield* slot.cache.handOver(slot.rules, slot.number, slot.epoch)) return
    }
    // without a token of its own nobody has looked yet whether another ledger's lease is at work there (counterexample 9)
    const { deploymentId } = yield* write(slot, {})
    const isForeign = Option.isNone(prepared) && deploymentId !== null && (yield* Fence.isInUse(slot, deploymentId))
    if (!isForeign) yield* sleep(slot, Option.flatMap(prepared, ({ tokenId }) => tokenId))
    yield* slot.cache.free(slot.rules, slot.number, slot.epoch, outcome)
  })

/**
 * Hibernates what is in the slot, and deletes the holder's tokens after that: as long as one is there, other ledgers keep away
 * (counterexample 9).
 *
 * @since 0.1.0
 * @category combinators
 */
export const sleep = (
  slot: HeldSlot,
  own: Option.Option<string>
): Effect.Effect<void, CacheError | LeaseLost | ProviderError> =>
  Effect.gen(function*() {
    const row = yield* write(slot, {})
    const id = row.deploymentId ?? (yield* lookUp(slot, row))?.id
    if (id === undefined) {
      // a name without an id is a creation that was not answered: while it may still arrive, the next holder looks for it
      if (row.name !== null && row.busyUntil === null) yield* write(slot, vacated(row))
      return
    }
    const hibernated = request(
      slot,
      "hibernating",
      slot.provider.hibernate(id),
      () => ({ deploymentId: id, power: "asleep" })
    )
    yield* Effect.retry(hibernated, { schedule: Polling.backoff, times: 3, while: isRetryable }).pipe(
      Effect.zipRight(Fence.revoke(slot, id, own)),
      Effect.catchIf(
        (error) => error._tag === "ProviderError" && error.kind === "notFound",
        () => Effect.asVoid(step(slot, "its deployment is gone", vacated(row)))
      )
    )
  })

/**
 * What is left to do for a holder whose ledger is gone: to hibernate, and to take its token away after that. Without an answer
 * the token stays, and keeps others off for as long as the request may land.
 *
 * @since 0.1.0
 * @category combinators
 */
export const abandon =
  (provider: typeof DeploymentProvider.Service) =>
  ({ deployment, tokenId }: PreparedSlot): Effect.Effect<void, ProviderError> =>
    Option.match(tokenId, {
      onNone: () => Effect.void,
      onSome: (tokenId) =>
        Effect.zipRight(provider.hibernate(deployment.id), provider.deleteToken(deployment.id, tokenId))
    })

/**
 * Deletes deployments of the slot that are older than what fills it: their holder had forgotten them and could not delete them any
 * more (counterexample 10).
 *
 * @since 0.1.0
 * @category combinators
 */
export const removeOlder = (
  slot: HeldSlot,
  generation: number,
  all: ReadonlyArray<Deployment>
): Effect.Effect<void, CacheError | LeaseLost> =>
  Effect.forEach(
    Marker.olderOf({ number: slot.number, generation }, slot.prefix, slot.rules.poolId, all),
    ({ id, name }) =>
      Effect.gen(function*() {
        yield* step(slot, `looking after ${name}, which was left behind`)
        if (yield* Fence.isInUse(slot, id)) return
        yield* request(slot, `deleting ${name}, which was left behind`, slot.provider.delete(id), () => ({}))
      }).pipe(
        // it may be on its way out already; if not, the next creation looks again
        Effect.catchTag("ProviderError", (error) => Effect.logWarning(`${name} is left alone: ${error.message}`))
      ),
    { discard: true }
  )

/**
 * Deletes what fills the slot, for the pool has become smaller; what was adopted is only let go.
 *
 * @since 0.1.0
 * @category combinators
 */
export const empty = (
  slot: HeldSlot,
  granted: Slot
): Effect.Effect<void, CacheError | LeaseLost | ProviderError | Fence.SlotContested> =>
  Effect.gen(function*() {
    const known = granted.adopted ? Option.none() : yield* find(slot, granted)
    if (Option.isSome(known) && (yield* Fence.isInUse(slot, known.value.id))) {
      return yield* new Fence.SlotContested({ name: known.value.name })
    }
    yield* step(slot, `leaving the pool, which is larger than ${slot.rules.max}`, vacated(granted))
    if (Option.isNone(known)) return
    yield* request(slot, `deleting ${known.value.name}`, slot.provider.delete(known.value.id), () => ({}))
  })

// internal

const isRetryable = (error: CacheError | LeaseLost | ProviderError) => error._tag === "ProviderError" && error.retryable

/** The deployment of a slot: the one that is there, woken, or a new one. */
const fill = (slot: HeldSlot, granted: Slot, why: Option.Option<string>) =>
  Effect.gen(function*() {
    if (granted.name === null) return yield* create(slot, granted)
    const known = yield* find(slot, granted)
    const anew = Effect.flatMap(
      step(slot, "its deployment is gone", vacated(granted)),
      (emptied) => create(slot, emptied)
    )
    if (Option.isNone(known)) return yield* anew
    const deployment = known.value
    yield* write(slot, { deploymentId: deployment.id, spec: deployment.spec })
    const unfit = PoolPolicy.sameSpec(deployment.spec, slot.needs)
      ? why
      : Option.some(`which is ${PoolPolicy.describeSpec(deployment.spec)}`)
    if (Option.isSome(unfit) && !granted.adopted) {
      if (yield* Fence.isInUse(slot, deployment.id)) return yield* new Fence.SlotContested({ name: deployment.name })
      return yield* replace(slot, granted, deployment, unfit.value)
    }
    if (deployment.isAwake) return { deployment, reused: "awake" as const }
    return yield* wake(slot, deployment).pipe(
      Effect.as({ deployment, reused: "woken" as const }),
      // what is being deleted may be read for a while
      Effect.catchIf((error) => error._tag === "ProviderError" && error.kind === "notFound", () => anew)
    )
  })

/**
 * What fills the slot, by id; by name where the creation's answer was lost.
 *
 * @since 0.1.0
 * @category combinators
 */
export const find = (slot: HeldSlot, granted: Slot): Effect.Effect<Option.Option<Deployment>, ProviderError> =>
  granted.deploymentId === null
    ? Effect.map(lookUp(slot, granted), Option.fromNullable)
    : slot.provider.get(granted.deploymentId).pipe(
      Effect.asSome,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.succeedNone)
    )

const lookUp = (slot: HeldSlot, { name }: Slot) =>
  Effect.map(
    name === null ? Effect.succeed([]) : slot.provider.list,
    (all) => all.find((deployment) => deployment.name === name && isOurs(slot, deployment))
  )

const isOurs = ({ prefix, rules }: HeldSlot, deployment: Deployment) =>
  deployment.name.startsWith(prefix) && deployment.description.includes(Marker.marker(rules.poolId))

/** An emptied slot: what fills it next is another generation, under another name. */
const vacated = (slot: Slot): PoolPolicy.SlotPatch => ({
  generation: slot.generation + 1,
  name: null,
  deploymentId: null,
  spec: null,
  power: "unknown"
})

/** The ledger forgets the deployment before it is deleted: whoever comes next must not find it (counterexample 10). */
const replace = (slot: HeldSlot, filled: Slot, old: Deployment, why: string) =>
  Effect.gen(function*() {
    const emptied = yield* step(slot, `replacing ${old.name}, ${why}`, vacated(filled))
    yield* request(slot, `deleting ${old.name}`, slot.provider.delete(old.id), () => ({}))
    return yield* create(slot, emptied)
  })

type Filled = Pick<PreparedSlot, "deployment" | "reused">

/** From a deployment to one that may be used: its own token, awake, ready, empty. */
const equip = (
  slot: HeldSlot,
  { deployment: found, reused }: Filled
): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const fence = yield* Fence.mint(slot, found)
    const deployment = reused === "awake" ? found : yield* awaitHealthy(slot, found)
    yield* step(slot, "waiting for Airflow", { power: "awake" })
    const credentials = { _tag: "Bearer", token: fence.token } as const
    const endpoint = { baseUrl: deployment.airflowUrl, credentials }
    const airflow = yield* AirflowReadiness.awaitConnected(endpoint.baseUrl, slot.airflowApi.connect(endpoint), {
      timeout: slot.options.readyTimeout,
      stablePolls: slot.options.readyPolls,
      // by the cloud's clock, for this machine's may be wrong
      ...(reused === "awake" || Option.isNone(fence.mintedAt)
        ? {}
        : { since: DateTime.unsafeMake(fence.mintedAt.value) })
    })
    yield* proveClean(slot, deployment, airflow)
    return { ...fence, deployment, reused, airflow }
  })

const wake = (slot: HeldSlot, deployment: Deployment) =>
  Effect.zipRight(
    asleep(slot, deployment),
    Effect.retry(request(slot, "waking", slot.provider.wake(deployment.id), () => ({})), {
      schedule: Polling.backoff,
      times: 3,
      while: isRetryable
    })
  )

/** A step that has begun is finished: woken before it sleeps, it may still fall asleep, in its new holder's hands. */
const asleep = (slot: HeldSlot, deployment: Deployment) =>
  isFallingAsleep(deployment)
    ? Effect.zipRight(
      step(slot, "waiting until it is asleep"),
      Effect.timeoutOption(
        looking(slot, (seen) =>
          Effect.succeed(
            Option.liftPredicate(
              Option.fromNullable(seen.get(deployment.id)),
              Predicate.not(Option.exists(isFallingAsleep))
            )
          )),
        longestSleep
      )
    )
    : Effect.void

const isFallingAsleep = ({ hibernationRequested, status }: Deployment) =>
  hibernationRequested && (status === "HEALTHY" || status === "UNHEALTHY" || status === "UNKNOWN")

/** No hibernation takes longer; one that does is not going to come. */
const longestSleep = Duration.minutes(5)

const create = (
  slot: HeldSlot,
  granted: Slot
): Effect.Effect<
  { readonly deployment: Deployment; readonly reused: "created" | "woken" },
  ProviderError | CacheError | LeaseLost
> =>
  Effect.gen(function*() {
    const name = Marker.deploymentName(slot.prefix, slot.rules.poolId, slot.number, granted.generation)
    if (granted.generation > 1) yield* removeOlder(slot, granted.generation, yield* slot.provider.list)
    const { busyUntil } = yield* write(slot, { name, spec: slot.needs })
    const accepted = request(
      slot,
      "creating",
      slot.provider.create({
        name,
        description: `Made for tests. ${Marker.marker(slot.rules.poolId)}`,
        spec: slot.needs
      }),
      (deployment) => ({ deploymentId: deployment.id })
    )
    const deployment = yield* Effect.catchTag(accepted, "ProviderError", (error) =>
      Effect.gen(function*() {
        const mayHaveArrived = error.ambiguous || error.kind === "nameTaken"
        const arrived = mayHaveArrived ? yield* findLate(slot, { ...granted, name }) : Option.none()
        if (Option.isSome(arrived)) return arrived.value
        // unless the request may still arrive, nothing of ours carries the name
        if (!error.ambiguous) yield* write(slot, vacated(granted))
        return yield* error
      }))
    yield* write(slot, { deploymentId: deployment.id, spec: deployment.spec, busyUntil })
    if (deployment.hibernationRequested) yield* wake(slot, deployment)
    return { deployment, reused: deployment.hibernationRequested ? "woken" : "created" }
  })

/** A creation that was not answered may show in the list a little later. */
const findLate = (slot: HeldSlot, granted: Slot) =>
  Effect.timeoutOption(
    Polling.untilSome(Effect.map(lookUp(slot, granted), Option.fromNullable), Polling.backoff),
    "15 seconds"
  )

/** One look of many that fails is not the last word; how long it may go on is its caller's to say. */
const looking = <A, E extends ProviderError | CacheError | LeaseLost>(
  slot: HeldSlot,
  f: (seen: Seen) => Effect.Effect<Option.Option<A>, E>
) => Effect.retry(slot.watch.until(f), { schedule: Polling.poll, while: isRetryable })

const awaitHealthy = (slot: HeldSlot, found: Deployment) =>
  Effect.gen(function*() {
    yield* step(slot, "waiting for HEALTHY")
    let last = found
    const look = (seen: Seen) =>
      Effect.gen(function*() {
        // a list may not have yet what was created a moment ago
        last = seen.get(found.id) ?? (yield* slot.provider.get(found.id))
        // an older request to hibernate has landed after ours to wake
        if (last.hibernationRequested) yield* wake(slot, last)
        return Option.liftPredicate(last, ({ isAwake }) => isAwake)
      })
    return yield* looking(slot, look).pipe(
      Effect.timeoutFail({
        duration: slot.options.healthyTimeout,
        onTimeout: () =>
          new DeploymentNotHealthy({
            name: found.name,
            status: last.status,
            waited: slot.options.healthyTimeout,
            uiUrl: found.uiUrl
          })
      })
    )
  })

/** The last look starts no earlier than a deleted token can have been accepted for the last time (counterexample 8). */
const proveClean = (slot: HeldSlot, deployment: Deployment, airflow: Airflow) =>
  Effect.gen(function*() {
    const { revokedAt } = yield* step(slot, "verifying that it is empty")
    const { now } = yield* slot.cache.inspect(slot.rules.poolId)
    const settled = revokedAt === null ? now : revokedAt + Duration.toMillis(slot.options.revocationWait)
    yield* Effect.sleep(Math.max(0, settled - now))
    const dirt = yield* AirflowReset.verify(airflow, slot.options.reset)
    if (dirt.length === 0) return
    yield* step(slot, "resetting")
    yield* AirflowReset.reset(airflow, slot.options.reset).pipe(
      Effect.catchTag("ResetIncomplete", (error) =>
        new SlotNotClean({
          name: deployment.name,
          leftovers: error.leftovers.map(({ kind, name }) => `${kind} ${name}`)
        }))
    )
  })
