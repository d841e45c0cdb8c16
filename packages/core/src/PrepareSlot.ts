/**
 * What a holder does before its slot may be used: create or wake, mint, wait until Airflow is ready, prove that it is
 * empty. And what it does when it is done: hand over, or hibernate and free.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Airflow } from "./Airflow.js"
import type { AirflowApi } from "./AirflowApi.js"
import type { AirflowApiError, AirflowNotReady } from "./AirflowError.js"
import * as AirflowReadiness from "./AirflowReadiness.js"
import * as AirflowReset from "./AirflowReset.js"
import type { Deployment, DeploymentId, Make } from "./Deployment.js"
import type { CacheError, DeploymentCache } from "./DeploymentCache.js"
import type { DeploymentProvider, DeploymentToken } from "./DeploymentProvider.js"
import type { ProviderError } from "./DeploymentProvider.js"
import * as schedules from "./internal/schedules.js"
import { LeaseLost } from "./Lease.js"
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
    }. It was made anew for that, and is ` +
      `not empty either: something outside writes to it, or its image brings this along (then keep it: AIRFLOW_RESOURCE_KEEP).`
  }
  readonly retryable = false
}

/**
 * Another ledger's lease is at work on the deployment: this holder steps back.
 *
 * @since 0.1.0
 * @category errors
 */
export class SlotContested extends Schema.TaggedError<SlotContested>("@airflow-resource/core/SlotContested")(
  "SlotContested",
  { name: Schema.String }
) {
  override get message(): string {
    return `The deployment ${this.name} is leased by a process with another cache file. Let both use one file.`
  }
  readonly retryable = true
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
  | SlotContested

/**
 * What a prepared slot offers.
 *
 * @since 0.1.0
 * @category models
 */
export interface PreparedSlot {
  readonly deployment: Deployment
  readonly reused: "awake" | "woken" | "created"
  readonly token: Redacted.Redacted
  /** Why the token is not this lease's own, where it is not. */
  readonly unfenced: Option.Option<string>
  readonly airflow: Airflow
}

/**
 * How long each wait may be, and how tokens are handled.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrepareOptions {
  readonly healthyTimeout: Duration.Duration
  readonly readyTimeout: Duration.Duration
  /** How often in a row Airflow must look ready. */
  readonly readyPolls: number
  /** A deleted token may be accepted for so long. */
  readonly revocationWait: Duration.Duration
  /** No cloud request is in flight for longer. */
  readonly longestRequest: Duration.Duration
  readonly reset: AirflowReset.ResetOptions
  /** `on`: a lease without an own token fails. `auto`: it goes on, and says so. */
  readonly fence: "auto" | "on"
  /** Used in place of an own token (`ASTRO_API_TOKEN`), unless the fence is on. */
  readonly apiToken: Option.Option<Redacted.Redacted>
  /** Used where an own token is refused. */
  readonly accessToken: Option.Option<Redacted.Redacted>
}

/**
 * A slot in its holder's hands.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeldSlot {
  readonly number: number
  readonly epoch: number
  readonly rules: PoolPolicy.PoolRules
  readonly prefix: string
  readonly needs: Make
  readonly cache: typeof DeploymentCache.Service
  readonly provider: typeof DeploymentProvider.Service
  readonly airflowApi: typeof AirflowApi.Service
  readonly options: PrepareOptions
  /** Says what the holder is about to do. */
  readonly onStep: (activity: string) => Effect.Effect<void>
}

/**
 * What marks a deployment as the pool's, besides the prefix in its name.
 *
 * @since 0.1.0
 * @category combinators
 */
export const marker = (poolId: string): string => `[airflow-resource pool ${poolId}]`

/**
 * Makes a granted slot usable. Can be interrupted between cloud requests, never inside one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const prepare = (slot: HeldSlot, granted: Slot): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const startedAt = yield* DateTime.now
    const filled = yield* fill(slot, granted)
    return yield* equip(slot, startedAt, filled).pipe(
      Effect.catchIf(
        // a new one that is dirty would be followed by another
        (error): error is SlotNotClean => error._tag === "SlotNotClean" && filled.reused !== "created",
        ({ leftovers }) =>
          Effect.gen(function*() {
            const dirty = yield* write(slot, {})
            const why = `which cannot be emptied of ${leftovers.slice(0, 3).join(", ")}`
            return yield* equip(slot, startedAt, yield* replace(slot, dirty, filled.deployment, why))
          })
      )
    )
  })

/**
 * Ends a hold: pauses the DAGs, then hands the slot over to the queue's head, or hibernates, deletes the own token and
 * frees it. Makes no cloud request that its ledger does not know of.
 *
 * @since 0.1.0
 * @category combinators
 */
export const release = (
  slot: HeldSlot,
  prepared: Option.Option<PreparedSlot>
): Effect.Effect<void, CacheError | LeaseLost | ProviderError> =>
  Effect.gen(function*() {
    if (Option.isSome(prepared)) {
      yield* step(slot, "pausing DAGs")
      yield* prepared.value.airflow.pauseAll.pipe(
        Effect.interruptible,
        Effect.timeout("5 seconds"),
        Effect.catchAll((error) => Effect.logWarning("the DAGs could not be paused; the next holder does it", error))
      )
      if (yield* slot.cache.handOver(slot.rules, slot.number, slot.epoch)) return
    }
    const row = yield* write(slot, {})
    const known = row.name === null ? Option.none<Deployment>() : yield* find(slot, row)
    if (Option.isSome(known)) {
      const { id } = known.value
      const hibernated = request(
        slot,
        "hibernating",
        slot.provider.hibernate(id),
        () => ({ deploymentId: id, power: "asleep" })
      )
      yield* Effect.retry(hibernated, { schedule: schedules.backoff, times: 3, while: isRetryable })
      yield* revoke(slot, id, (yield* poolTokens(slot, id)).filter((token) => token.name === tokenName(slot)))
    } else if (row.deploymentId !== null) {
      yield* step(slot, "its deployment is gone", vacated(row))
    }
    // a name without an id is a creation that may still arrive: the next holder looks for it
    yield* slot.cache.free(slot.rules, slot.number, slot.epoch, { clean: false })
  })

// internal

const step = (slot: HeldSlot, activity: string, patch: PoolPolicy.SlotPatch = {}) =>
  Effect.zipLeft(
    slot.cache.update(slot.rules, slot.number, slot.epoch, { ...patch, activity }),
    slot.onStep(activity)
  )

const isRetryable = (error: CacheError | LeaseLost | ProviderError) => error._tag === "ProviderError" && error.retryable

/**
 * A cloud request that changes something: the ledger says beforehand until when it may land, whatever becomes of its sender
 * (counterexample 2). Only an answer takes that back.
 */
const request = <A>(
  slot: HeldSlot,
  activity: string,
  call: Effect.Effect<A, ProviderError>,
  facts: (answer: A) => PoolPolicy.SlotPatch
): Effect.Effect<A, ProviderError | CacheError | LeaseLost> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const busyUntil = now + Duration.toMillis(slot.options.longestRequest)
    yield* step(slot, activity, { busyUntil, power: "unknown" })
    return yield* call.pipe(
      Effect.tap((answer) => write(slot, { ...facts(answer), busyUntil: null })),
      Effect.tapError((error) =>
        error._tag === "ProviderError" && !error.ambiguous ? write(slot, { busyUntil: null }) : Effect.void
      )
    )
  }))

const write = (slot: HeldSlot, patch: PoolPolicy.SlotPatch) =>
  slot.cache.update(slot.rules, slot.number, slot.epoch, patch)

/** The deployment of a slot: the one that is there, woken, or a new one. */
const fill = (slot: HeldSlot, granted: Slot) =>
  Effect.gen(function*() {
    if (granted.name === null) return yield* create(slot, granted)
    const known = yield* find(slot, granted)
    if (Option.isNone(known)) return yield* create(slot, yield* step(slot, "its deployment is gone", vacated(granted)))
    const deployment = known.value
    yield* write(slot, { deploymentId: deployment.id, make: deployment.make })
    if (!PoolPolicy.sameMake(deployment.make, slot.needs)) {
      // a token that may make none cannot tell
      const inUse = Effect.catchIf(
        isInUse(slot, deployment.id),
        ({ kind }) => kind === "forbidden",
        () => Effect.succeed(false)
      )
      if (yield* inUse) return yield* new SlotContested({ name: deployment.name })
      return yield* replace(slot, granted, deployment, `which is ${PoolPolicy.describeMake(deployment.make)}`)
    }
    if (deployment.isAwake) return { deployment, reused: "awake" as const }
    yield* wake(slot, deployment)
    return { deployment, reused: "woken" as const }
  })

const find = (slot: HeldSlot, { deploymentId, name }: Slot) =>
  deploymentId === null
    ? findByName(slot, name ?? "")
    : slot.provider.get(deploymentId).pipe(
      Effect.asSome,
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.succeedNone)
    )

const isOurs = (slot: HeldSlot, deployment: Deployment) =>
  deployment.name.startsWith(slot.prefix) && deployment.description.includes(marker(slot.rules.poolId))

/** An emptied slot: what fills it next is another generation, under another name. */
const vacated = (slot: Slot): PoolPolicy.SlotPatch => ({
  generation: slot.generation + 1,
  name: null,
  deploymentId: null,
  make: null,
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
  startedAt: DateTime.Utc,
  { deployment: found, reused }: Filled
): Effect.Effect<PreparedSlot, PrepareError> =>
  Effect.gen(function*() {
    const { token, unfenced } = yield* mint(slot, found)
    const deployment = yield* awaitHealthy(slot, found)
    yield* step(slot, "waiting for Airflow", { power: "awake" })
    const endpoint = { baseUrl: deployment.airflowUrl, credentials: { _tag: "Bearer", token } } as const
    const airflow = yield* AirflowReadiness.awaitConnected(endpoint.baseUrl, slot.airflowApi.connect(endpoint), {
      timeout: slot.options.readyTimeout,
      stablePolls: slot.options.readyPolls,
      ...(reused === "awake" ? {} : { since: startedAt })
    })
    yield* proveClean(slot, deployment, airflow)
    return { deployment, reused, token, unfenced, airflow }
  })

const wake = (slot: HeldSlot, deployment: Deployment) =>
  Effect.retry(request(slot, "waking", slot.provider.wake(deployment.id), () => ({})), {
    schedule: schedules.backoff,
    times: 3,
    while: isRetryable
  })

const create = (
  slot: HeldSlot,
  granted: Slot
): Effect.Effect<
  { readonly deployment: Deployment; readonly reused: "created" | "woken" },
  ProviderError | CacheError | LeaseLost
> =>
  Effect.gen(function*() {
    const name = PoolPolicy.deploymentName(slot.prefix, slot.rules.poolId, slot.number, granted.generation)
    if (granted.generation > 1) yield* removeOlder(slot, granted.generation)
    yield* write(slot, { name, make: slot.needs })
    const accepted = request(
      slot,
      "creating",
      slot.provider.create({ name, description: `Made for tests. ${marker(slot.rules.poolId)}`, make: slot.needs }),
      (deployment) => ({ deploymentId: deployment.id })
    )
    const deployment = yield* Effect.catchTag(accepted, "ProviderError", (error) =>
      Effect.gen(function*() {
        const arrived = error.ambiguous || error.kind === "nameTaken" ? yield* findLate(slot, name) : Option.none()
        if (Option.isSome(arrived)) return arrived.value
        // unless the request may still arrive, nothing of ours carries the name
        if (!error.ambiguous) yield* write(slot, vacated(granted))
        return yield* error
      }))
    yield* write(slot, { deploymentId: deployment.id, make: deployment.make, busyUntil: null })
    if (deployment.hibernationRequested) yield* wake(slot, deployment)
    return { deployment, reused: deployment.hibernationRequested ? "woken" : "created" }
  })

const findByName = (slot: HeldSlot, name: string): Effect.Effect<Option.Option<Deployment>, ProviderError> =>
  Effect.map(
    slot.provider.list,
    (all) => Option.fromNullable(all.find((deployment) => deployment.name === name && isOurs(slot, deployment)))
  )

/** Older deployments of the slot that their holder had forgotten and could not delete any more (counterexample 10). */
const removeOlder = (slot: HeldSlot, generation: number) =>
  Effect.gen(function*() {
    const older = (yield* slot.provider.list).filter((deployment) => {
      const place = PoolPolicy.parseDeploymentName(slot.prefix, slot.rules.poolId, deployment.name)
      return isOurs(slot, deployment) && place?.slot === slot.number && place.generation < generation
    })
    yield* Effect.forEach(older, ({ id, name }) =>
      Effect.gen(function*() {
        yield* step(slot, `looking after ${name}, which was left behind`)
        if (yield* isInUse(slot, id)) return
        yield* request(slot, `deleting ${name}, which was left behind`, slot.provider.delete(id), () => ({}))
      }).pipe(
        // it may be on its way out already; if not, the next creation looks again
        Effect.catchTag("ProviderError", (error) => Effect.logWarning(`${name} is left alone: ${error.message}`))
      ), { discard: true })
  })

/** A creation that was not answered may show in the list a little later. */
const findLate = (slot: HeldSlot, name: string) =>
  Effect.timeoutOption(schedules.untilSome(findByName(slot, name), schedules.backoff), "15 seconds")

const tokenPrefix = (slot: HeldSlot) => `airflow-resource ${slot.rules.poolId} `
const ledgerPrefix = (slot: HeldSlot) => `${tokenPrefix(slot)}${slot.cache.ledgerId} `
const tokenName = (slot: HeldSlot) => `${ledgerPrefix(slot)}s${slot.number} e${slot.epoch}`

/** The lease's own token, which is its fence; or, openly, somebody else's. */
const mint = (slot: HeldSlot, deployment: Deployment) =>
  Effect.gen(function*() {
    const { accessToken, apiToken, fence } = slot.options
    if (fence === "auto" && Option.isSome(apiToken)) {
      return yield* goUnfenced(slot, apiToken.value, "ASTRO_API_TOKEN is set, which all leases share")
    }
    yield* step(slot, "making a token")
    const minted = yield* slot.provider.createToken(deployment.id, tokenName(slot)).pipe(
      Effect.retry({ schedule: schedules.backoff, times: 4, while: (error) => error.retryable }),
      Effect.asSome,
      Effect.catchIf(
        (error) => fence === "auto" && error.kind === "forbidden" && Option.isSome(accessToken),
        () => Effect.succeedNone
      )
    )
    if (Option.isNone(minted)) {
      const shared = Option.getOrThrow(accessToken)
      return yield* goUnfenced(slot, shared, "the token may not make deployment tokens (Workspace Owner may)")
    }
    const own = minted.value
    yield* Effect.onError(
      sweepTokens(slot, deployment, own),
      () => Effect.ignore(slot.provider.deleteToken(deployment.id, own.id))
    )
    // whoever was paused before the mint may have lost the slot and had its tokens swept already (counterexample 6)
    if (!(yield* slot.cache.beat(slot.rules, slot.number, slot.epoch))) {
      yield* Effect.ignore(slot.provider.deleteToken(deployment.id, own.id))
      return yield* new LeaseLost({
        held: `slot ${slot.number}`,
        epoch: slot.epoch,
        reason: "its deadline passed while its token was made"
      })
    }
    return { token: own.value, unfenced: Option.none<string>() }
  })

const goUnfenced = (slot: HeldSlot, token: Redacted.Redacted, why: string) =>
  Effect.as(
    Effect.zipRight(write(slot, { fenced: false }), step(slot, `going on unfenced: ${why}`)),
    { token, unfenced: Option.some(why) }
  )

/**
 * Whether another ledger leases a deployment that is about to be deleted: as everywhere, the own token is made before others are
 * looked for (counterexample 9).
 */
const isInUse = (slot: HeldSlot, id: DeploymentId): Effect.Effect<boolean, ProviderError> =>
  Effect.gen(function*() {
    const own = yield* slot.provider.createToken(id, tokenName(slot))
    const contested = yield* isContested(slot, yield* poolTokens(slot, id))
    if (contested) yield* slot.provider.deleteToken(id, own.id)
    return contested
  })

/** Whether another ledger's lease may live on the deployment of these tokens. */
const isContested = (slot: HeldSlot, tokens: ReadonlyArray<DeploymentToken>) =>
  Effect.map(
    Clock.currentTimeMillis,
    (now) =>
      tokens.some((token) => !token.name.startsWith(ledgerPrefix(slot)) && token.createdAt + slot.rules.maxHold > now)
  )

const poolTokens = (slot: HeldSlot, id: DeploymentId) =>
  Effect.map(
    slot.provider.listTokens(id),
    (tokens) => tokens.filter((token) => token.name.startsWith(tokenPrefix(slot)))
  )

/**
 * Deletes tokens. `revokedAt` is written before the request and at its answer: whoever comes next must know even if this
 * process dies in between (counterexample 8).
 */
const revoke = (slot: HeldSlot, id: DeploymentId, tokens: ReadonlyArray<DeploymentToken>) =>
  Effect.gen(function*() {
    if (tokens.length === 0) return
    yield* write(slot, { revokedAt: yield* Clock.currentTimeMillis })
    yield* Effect.forEach(tokens, (token) => slot.provider.deleteToken(id, token.id), { discard: true })
    yield* write(slot, { revokedAt: yield* Clock.currentTimeMillis })
  })

/** Every older token goes; a living lease of another ledger makes this holder step back (counterexample 9). */
const sweepTokens = (slot: HeldSlot, deployment: Deployment, own: DeploymentToken) =>
  Effect.gen(function*() {
    const tokens = yield* poolTokens(slot, deployment.id)
    if (yield* isContested(slot, tokens)) return yield* new SlotContested({ name: deployment.name })
    yield* revoke(slot, deployment.id, tokens.filter((token) => token.id !== own.id))
  })

const awaitHealthy = (slot: HeldSlot, found: Deployment) =>
  Effect.gen(function*() {
    yield* step(slot, "waiting for HEALTHY")
    let last = found
    const look = Effect.gen(function*() {
      last = yield* slot.provider.get(found.id)
      // an older request to hibernate has landed after ours to wake
      if (last.hibernationRequested) yield* wake(slot, last)
      return Option.liftPredicate(last, (deployment) => deployment.isAwake)
    })
    return yield* schedules.untilSome(look, schedules.poll).pipe(
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
    const now = yield* Clock.currentTimeMillis
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
