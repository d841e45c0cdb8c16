/**
 * What a holder does before its slot may be used: create or wake the deployment, mint a token, wait until Airflow is ready, verify that
 * it is empty. And what it does at the end: hand over, or hibernate and free.
 */
import type { Airflow } from "@airflow-resource/airflow/Airflow"
import type { AirflowApiError, AirflowNotReady } from "@airflow-resource/airflow/AirflowError"
import * as AirflowReadiness from "@airflow-resource/airflow/AirflowReadiness"
import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
import * as Polling from "@airflow-resource/airflow/Polling"
import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { CacheError } from "../../CacheError.js"
import type { Deployment, DeploymentId } from "../../Deployment.js"
import { describeSpec, sameSpec } from "../../Deployment.js"
import type { DeploymentProvider, ProviderError } from "../../DeploymentProvider.js"
import type { LeaseLost } from "../../Lease.js"
import { DeploymentNotHealthy, SlotNotClean } from "../../PoolError.js"
import type { Slot } from "../../Slot.js"
import type { Outcome, SlotPatch } from "../policy/model.js"
import { isTakenBack } from "../policy/slots.js"
import type { Listing } from "./DeploymentWatch.js"
import * as Fence from "./Fence.js"
import type { HeldSlot } from "./HeldSlot.js"
import { retried } from "./HeldSlot.js"
import * as Marker from "./Marker.js"

export type PrepareError =
  | ProviderError
  | CacheError
  | LeaseLost
  | AirflowNotReady
  | AirflowApiError
  | DeploymentNotHealthy
  | SlotNotClean
  | Fence.SlotContested

/** A slot that may be used. */
export interface PreparedSlot extends Fence.Fence {
  readonly deployment: Deployment
  readonly reused: "awake" | "woken" | "created"
  readonly airflow: Airflow
}

/**
 * Decides whether a failure is blamed on the deployment. If so, the slot is not granted for a while, and after two such failures in a row
 * the deployment is replaced.
 */
export const outcomeOf = ({ _tag, message }: PrepareError): Outcome["usable"] => {
  switch (_tag) {
    case "DeploymentNotHealthy":
    case "AirflowNotReady":
    case "AirflowApiError":
    case "SlotNotClean":
      // the rest may be a log
      return { failure: message.split("\n", 1)[0]! }
    case "ProviderError":
    case "CacheError":
    case "LeaseLost":
    case "SlotContested":
      return "unknown"
  }
}

/**
 * Makes a granted slot usable. Can be interrupted between cloud requests, never inside one. With `replaceBecause`, the deployment in the
 * slot is replaced even if it is fine.
 */
export const prepare = (
  slot: HeldSlot,
  granted: Slot,
  replaceBecause: Option.Option<string> = Option.none()
): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const filled = yield* fill(slot, granted, replaceBecause)
    return yield* equip(slot, filled).pipe(
      Effect.catchIf(
        // a dirty new deployment would only be followed by another; an adopted one does not belong to the pool
        (error): error is SlotNotClean =>
          error._tag === "SlotNotClean" && filled.reused !== "created" && granted.adopted === null,
        ({ leftovers }) =>
          Effect.gen(function*() {
            const reason = `which cannot be emptied of ${leftovers.slice(0, 3).join(", ")}`
            return yield* equip(slot, yield* replace(slot, yield* slot.current, filled.deployment, reason))
          })
      )
    )
  }).pipe(Effect.withSpan("DeploymentPool.prepare"))

/**
 * Ends a hold: pauses the DAGs, then hands the slot over to the first ticket, or leaves it to upkeep if that is active, or hibernates
 * the deployment, revokes the holder's token and frees the slot. Records the request to hibernate before it is sent.
 */
export const release = (
  slot: HeldSlot,
  prepared: Option.Option<PreparedSlot>,
  outcome: Outcome
): Effect.Effect<void, CacheError | LeaseLost | ProviderError> =>
  Effect.gen(function*() {
    if (Option.isSome(prepared)) {
      yield* slot.step("pausing DAGs")
      yield* prepared.value.airflow.pauseAll.pipe(
        (paused) => TimeLimit.fail(paused, { limit: "5 seconds", onTimeout: () => new Cause.TimeoutException() }),
        Effect.catchAll((error) =>
          Effect.logWarning("The DAGs could not be paused; the next holder will pause them.", error)
        )
      )
      if (yield* slot.handOver) return
    }
    // a holder that has minted no token has not checked yet whether another ledger's lease uses the deployment (counterexample 9)
    const { deploymentId } = yield* slot.current
    const isForeign = Option.isNone(prepared) && deploymentId !== null && (yield* Fence.isInUse(slot, deploymentId))
    if (!isForeign) yield* hibernate(slot, Option.flatMap(prepared, ({ own }) => own))
    yield* slot.free(outcome)
  }).pipe(Effect.withSpan("DeploymentPool.release"))

/**
 * Hibernates the slot's deployment, and only then revokes the holder's tokens: while one exists, holders in other ledgers step back
 * (counterexample 9).
 */
export const hibernate = (
  slot: HeldSlot,
  own: Option.Option<Fence.OwnToken>
): Effect.Effect<void, CacheError | LeaseLost | ProviderError> =>
  Effect.gen(function*() {
    const row = yield* slot.current
    const id = row.deploymentId ?? (yield* findByName(slot, row))?.id
    if (id === undefined) {
      // a name without an id is a creation without a response: while it may still land, the next holder searches for it
      if (row.name !== null && row.busyUntil === null) yield* slot.write(vacated(row))
      return
    }
    const now = yield* slot.now
    const { activity, call } = putAway(slot.pool.provider, id, row, now)
    const hibernated = slot.request(activity, call, () => ({ deploymentId: id, power: "asleep" }))
    yield* retried(hibernated, slot.retries).pipe(
      Effect.zipRight(Fence.revoke(slot, id, own)),
      Effect.zipRight(slot.current),
      // its place in the pool is free again
      Effect.flatMap(({ tokens }) =>
        isTakenBack(row, now) && !tokens.mayExist ? slot.write(vacated(row)) : Effect.void
      ),
      Effect.catchIf(
        (error) => error._tag === "ProviderError" && error.kind === "notFound",
        () => Effect.asVoid(slot.step("its deployment was deleted", vacated(row)))
      )
    )
  })

/**
 * All that a holder can do without its ledger: hibernate, and only then revoke its token. If the hibernation gets no response, the token
 * stays, and holders in other ledgers step back while the request may land.
 */
export const abandon =
  (provider: typeof DeploymentProvider.Service) =>
  ({ adopted, deployment, own }: PreparedSlot & Pick<Slot, "adopted">): Effect.Effect<void, ProviderError> =>
    Option.match(own, {
      // a shared token does not tell whether the next holder uses it by now
      onNone: () => Effect.logWarning(`${deployment.name} may be awake: run \`airflow-resource reap\`.`),
      onSome: ({ id }) =>
        Clock.currentTimeMillis.pipe(
          Effect.flatMap((now) => retried(putAway(provider, deployment.id, { adopted }, now).call)),
          Effect.zipRight(retried(provider.deleteToken(deployment.id, id)))
        )
    })

/**
 * Deletes deployments of the slot that are older than the one that fills it: an earlier holder cleared them from the ledger, and died
 * before it deleted them (counterexample 10). `false`: one of them is left.
 */
export const deleteOlder = (
  slot: HeldSlot,
  generation: number,
  all: ReadonlyArray<Deployment>
): Effect.Effect<boolean, CacheError | LeaseLost> =>
  Effect.forEach(
    Marker.olderGenerations(poolName(slot), { number: slot.number, generation }, all),
    ({ id, name }) =>
      Effect.gen(function*() {
        yield* slot.step(`checking ${name}, which was left behind`)
        if (yield* Fence.isInUse(slot, id)) return false
        yield* slot.request(`deleting ${name}, which was left behind`, slot.pool.provider.delete(id))
        return true
      }).pipe(
        // it may be disappearing already; if not, the next creation tries again
        Effect.catchTag(
          "ProviderError",
          (error) => Effect.as(Effect.logWarning(`${name} was not deleted: ${error.message}`), false)
        )
      )
  ).pipe(Effect.map((deleted) => deleted.every((isDeleted) => isDeleted)))

/** Deletes the slot's deployment, because the pool has become smaller. An adopted deployment is hibernated and cleared from the ledger. */
export const empty = (
  slot: HeldSlot,
  granted: Slot
): Effect.Effect<void, CacheError | LeaseLost | ProviderError | Fence.SlotContested> =>
  Effect.gen(function*() {
    const known = yield* find(slot, granted)
    if (Option.isSome(known) && (yield* Fence.isInUse(slot, known.value.id))) {
      return yield* new Fence.SlotContested({ name: known.value.name })
    }
    if (granted.adopted !== null) {
      yield* hibernate(slot, Option.none())
      // once it is cleared from the ledger, nothing deletes its tokens
      if ((yield* slot.current).tokens.mayExist) return
    }
    const { tokens: { version } } = yield* slot.step(
      `leaving the pool, which has more than ${slot.pool.rules.max} deployments`,
      vacated(granted)
    )
    if (Option.isNone(known) || granted.adopted !== null) return
    // its tokens end with it
    yield* slot.request(
      `deleting ${known.value.name}`,
      slot.pool.provider.delete(known.value.id),
      () => ({ noTokens: version })
    )
  })

/** The slot's deployment: by its id, or by its name if its creation got no response. */
export const find = (slot: HeldSlot, granted: Slot): Effect.Effect<Option.Option<Deployment>, ProviderError> =>
  granted.deploymentId === null
    ? Effect.map(findByName(slot, granted), Option.fromNullable)
    : slot.pool.provider.get(granted.deploymentId).pipe(
      Effect.asSome,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.succeedNone)
    )

// internal

const poolName = ({ pool: { prefix, rules: { poolId } } }: HeldSlot): Marker.PoolName => ({ prefix, poolId })

/** The schedules of an adopted deployment apply again at the time that its user has set. */
export const putAway = (
  provider: typeof DeploymentProvider.Service,
  id: DeploymentId,
  slot: Pick<Slot, "adopted">,
  now: number
) =>
  isTakenBack(slot, now)
    ? { activity: "giving it back to its schedules", call: provider.resumeSchedules(id) }
    : { activity: "hibernating", call: provider.hibernate(id, slot.adopted?.overrideUntil ?? undefined) }

/** Returns a deployment for the slot, awake or about to be: the one that fills it, or a new one. */
const fill = (slot: HeldSlot, granted: Slot, replaceBecause: Option.Option<string>) =>
  Effect.gen(function*() {
    if (granted.name === null) return yield* create(slot, granted)
    const known = yield* find(slot, granted)
    const createAnother = Effect.flatMap(
      slot.step("its deployment was deleted", vacated(granted)),
      (emptied) => create(slot, emptied)
    )
    if (Option.isNone(known)) return yield* createAnother
    const deployment = known.value
    yield* slot.write({ deploymentId: deployment.id, spec: deployment.spec })
    const unfit = sameSpec(deployment.spec, slot.spec)
      ? replaceBecause
      : Option.some(`which is ${describeSpec(deployment.spec)}`)
    if (Option.isSome(unfit) && granted.adopted === null) {
      if (yield* Fence.isInUse(slot, deployment.id)) return yield* new Fence.SlotContested({ name: deployment.name })
      return yield* replace(slot, granted, deployment, unfit.value)
    }
    if (deployment.isAwake) return { deployment, reused: "awake" as const }
    return yield* wake(slot, deployment).pipe(
      Effect.as({ deployment, reused: "woken" as const }),
      // a deployment that is being deleted can be read for a while
      Effect.catchIf((error) => error._tag === "ProviderError" && error.kind === "notFound", () => createAnother)
    )
  })

const findByName = (slot: HeldSlot, { name }: Slot) =>
  Effect.map(
    name === null ? Effect.succeed([]) : slot.pool.provider.list,
    (all) => all.find((deployment) => deployment.name === name && belongsToPool(slot, deployment))
  )

const belongsToPool = ({ pool: { prefix, rules } }: HeldSlot, deployment: Deployment) =>
  deployment.name.startsWith(prefix) && Marker.hasMarker(rules.poolId, deployment)

/** Clears the deployment from a slot: the next one is another generation, under another name. */
const vacated = (slot: Slot): SlotPatch => ({
  generation: slot.generation + 1,
  name: null,
  deploymentId: null,
  spec: null,
  power: "unknown"
})

/** Clears the deployment from the ledger before it deletes it, so that the next holder cannot find it (counterexample 10). */
const replace = (slot: HeldSlot, filled: Slot, old: Deployment, reason: string) =>
  Effect.gen(function*() {
    const emptied = yield* slot.wait(`replacing ${old.name}, ${reason}`, vacated(filled))
    yield* retried(slot.request(`deleting ${old.name}`, slot.pool.provider.delete(old.id)), slot.retries)
    return yield* create(slot, emptied)
  })

type Filled = Pick<PreparedSlot, "deployment" | "reused">

/** Makes a deployment usable: fenced, awake, ready and empty. */
const equip = (slot: HeldSlot, { deployment: found, reused }: Filled): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const { airflowApi, options } = slot.pool
    const fence = yield* Fence.mint(slot, found)
    const deployment = reused === "awake" ? found : yield* awaitHealthy(slot, found)
    yield* slot.wait("waiting for Airflow", { power: "awake" })
    const credentials = { _tag: "Bearer", token: fence.token } as const
    const endpoint = { baseUrl: deployment.airflowUrl, credentials }
    const connected = AirflowReadiness.awaitConnected(endpoint.baseUrl, airflowApi.connect(endpoint), {
      timeout: options.readyTimeout,
      stablePolls: options.readyPolls,
      // by the cloud's clock, because this machine's may be wrong
      ...(reused === "awake" || Option.isNone(fence.mintedAt)
        ? {}
        : { since: DateTime.unsafeMake(fence.mintedAt.value) })
    })
    const airflow = yield* Effect.tap(connected, (airflow) => verifyEmpty(slot, deployment, airflow)).pipe(
      // an Airflow that stops responding halfway may be ready again a little later
      Effect.retry({ times: 2, while: (error) => error._tag === "AirflowApiError" && error.retryable })
    )
    return { ...fence, deployment, reused, airflow }
  })

const wake = (slot: HeldSlot, deployment: Deployment) =>
  Effect.zipRight(
    awaitHibernated(slot, deployment),
    retried(slot.request("waking", slot.pool.provider.wake(deployment.id)), slot.retries)
  )

/**
 * Astro may finish a hibernation that has begun: a deployment that is woken before it hibernates could still hibernate while its new
 * holder uses it (decision 011).
 */
const awaitHibernated = (slot: HeldSlot, deployment: Deployment) =>
  isHibernating(deployment)
    ? Effect.zipRight(
      slot.wait("waiting until it hibernates"),
      Effect.timeoutOption(
        pollUntil(slot, (listing) =>
          Effect.succeed(
            Option.liftPredicate(
              Option.fromNullable(listing.get(deployment.id)),
              Predicate.not(Option.exists(isHibernating))
            )
          )),
        longestHibernation
      )
    )
    : Effect.void

const isHibernating = ({ hibernationRequested, status }: Deployment) =>
  hibernationRequested && (status === "HEALTHY" || status === "UNHEALTHY" || status === "UNKNOWN")

/** A hibernation that takes longer is not going to happen. */
const longestHibernation = Duration.minutes(5)

const create = (
  slot: HeldSlot,
  granted: Slot
): Effect.Effect<
  { readonly deployment: Deployment; readonly reused: "created" | "woken" },
  ProviderError | CacheError | LeaseLost
> =>
  Effect.gen(function*() {
    const { provider, rules } = slot.pool
    const name = Marker.deploymentName(poolName(slot), granted)
    if (granted.generation > 1) yield* deleteOlder(slot, granted.generation, yield* provider.list)
    if (provider.provision !== undefined) {
      yield* provider.provision(slot.spec, slot.wait)
    }
    yield* slot.write({ name, spec: slot.spec })
    const accepted = slot.request(
      "creating",
      provider.create({ name, description: `Created for tests. ${Marker.marker(rules.poolId)}`, spec: slot.spec }),
      (deployment) => ({ deploymentId: deployment.id })
    )
    const found = Effect.catchTag(accepted, "ProviderError", (error) =>
      Effect.gen(function*() {
        const limit = error.ambiguous ? rules.longestRequest : error.kind === "nameTaken" ? longestUnlisted : undefined
        // the search takes a while
        if (limit !== undefined) yield* slot.retries.report(error)
        const arrived = limit === undefined ? Option.none() : yield* findLate(slot, { ...granted, name }, limit)
        return yield* Option.getOrElse(Option.map(arrived, Effect.succeed), () => error)
      }))
    const deployment = yield* retried(found, slot.retries).pipe(
      // unless the request may still arrive, no deployment of the pool has the name
      Effect.tapErrorTag(
        "ProviderError",
        ({ ambiguous }) => ambiguous ? Effect.void : slot.write(vacated(granted))
      )
    )
    yield* slot.write({ deploymentId: deployment.id, spec: deployment.spec })
    if (deployment.hibernationRequested) yield* wake(slot, deployment)
    return { deployment, reused: deployment.hibernationRequested ? "woken" : "created" }
  })

/** Milliseconds until the list shows a deployment that exists. */
const longestUnlisted = 15_000

/** Polls for a deployment, and once more at the limit: if a creation that can land no more is not found then, it may be sent again. */
const findLate = (slot: HeldSlot, granted: Slot, limit: number) => {
  const found = Effect.map(findByName(slot, granted), Option.fromNullable)
  return Effect.flatMap(
    Effect.timeoutOption(Polling.untilSome(found, Polling.backoff), limit),
    Option.match({ onNone: () => found, onSome: Effect.succeedSome })
  )
}

/** Keeps polling when a single listing fails; the caller limits the time. */
const pollUntil = <A, E extends ProviderError | CacheError | LeaseLost | DeploymentNotHealthy>(
  { pool, retries }: HeldSlot,
  f: (listing: Listing) => Effect.Effect<Option.Option<A>, E>,
  onFailure: (failure: ProviderError | undefined) => void = () => {}
) => {
  const report = (failure: ProviderError | undefined) =>
    Effect.zipRight(Effect.sync(() => onFailure(failure)), retries.report(failure))
  const until = pool.watch.until((listing) => Effect.zipRight(report(undefined), f(listing)))
  return retried(until, { ...retries, times: Infinity, report })
}

const awaitHealthy = (slot: HeldSlot, found: Deployment) =>
  Effect.gen(function*() {
    const { options: { healthyTimeout }, provider } = slot.pool
    yield* slot.wait("waiting for HEALTHY")
    let last = found
    let failure: ProviderError | undefined
    const notHealthy = ({ name, problem, status, uiUrl }: Deployment) =>
      new DeploymentNotHealthy({
        name,
        status,
        waited: healthyTimeout,
        uiUrl,
        ...(problem === undefined ? {} : { problem })
      })
    const healthy = (listing: Listing) =>
      Effect.gen(function*() {
        // a deployment that was created a moment ago may be missing from the list
        last = listing.get(found.id) ?? (yield* provider.get(found.id))
        if (last.status === "UNHEALTHY" && last.problem !== undefined) return yield* notHealthy(last)
        // an earlier request to hibernate landed after our request to wake
        if (last.hibernationRequested) yield* wake(slot, last)
        return Option.liftPredicate(last, ({ isAwake }) => isAwake)
      })
    return yield* pollUntil(slot, healthy, (now) => void (failure = now)).pipe(
      Effect.timeoutFail({
        duration: healthyTimeout,
        // without a response it is unknown whether the deployment is healthy
        onTimeout: () => failure ?? notHealthy(last)
      })
    )
  })

/** Verifies once no revoked token can be accepted any more (counterexample 8), and resets if something is left. */
const verifyEmpty = (slot: HeldSlot, deployment: Deployment, airflow: Airflow) =>
  Effect.gen(function*() {
    const { cache, options, provider, rules } = slot.pool
    const { revokedAt } = yield* slot.step("verifying that it is empty")
    const { now } = yield* cache.inspect(rules.poolId)
    const settled = revokedAt === null ? now : revokedAt + Duration.toMillis(options.revocationWait)
    yield* Effect.sleep(Math.max(0, settled - now))
    if (provider.reset !== undefined) {
      const isEmpty = yield* Effect.matchEffect(provider.reset(deployment.id), {
        onFailure: (error) =>
          Effect.as(Effect.logWarning("The deployment is emptied through Airflow's API.", error), false),
        onSuccess: () => Effect.succeed(true)
      })
      if (isEmpty) return
    }
    const leftovers = yield* AirflowReset.verify(airflow, options.reset)
    if (leftovers.length === 0) return
    yield* slot.wait("resetting")
    yield* AirflowReset.reset(airflow, options.reset).pipe(
      Effect.catchTag("ResetIncomplete", (error) =>
        new SlotNotClean({
          name: deployment.name,
          leftovers: error.leftovers.map(({ kind, name }) => `${kind} ${name}`)
        }))
    )
  })
