/**
 * What makes a former holder harmless: every holder works with its own token, and revokes the tokens of earlier holders before the slot
 * is used.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CacheError } from "../../CacheError.js"
import type { Deployment, DeploymentId } from "../../Deployment.js"
import { type DeploymentToken, ProviderError } from "../../DeploymentProvider.js"
import type { LeaseLost } from "../../Lease.js"
import type { HeldSlot, PoolContext } from "./HeldSlot.js"
import { retried } from "./HeldSlot.js"

/** A lease of another ledger is using the deployment: this holder steps back. */
export class SlotContested extends Schema.TaggedError<SlotContested>("@airflow-resource/core/SlotContested")(
  "SlotContested",
  { name: Schema.String }
) {
  override get message(): string {
    return `The deployment ${this.name} is leased by a process that uses another cache, or was until its cache was deleted. ` +
      `Let all processes use the same one (AIRFLOW_RESOURCE_CACHE). A deployment whose cache was deleted is free again ` +
      `once the last lease in it would have ended (AIRFLOW_RESOURCE_MAX_HOLD).`
  }
  readonly retryable = true
}

/** A token that only its holder uses. */
export interface OwnToken {
  readonly id: string
  /** The version of the slot's mark that ends with this token; `None`: an older token may exist that no list has shown yet. */
  readonly lastOf: Option.Option<number>
}

/** The token that a holder works with. */
export interface Fence {
  readonly token: Redacted.Redacted
  /** The holder's own token; `None` for a token that is shared. */
  readonly own: Option.Option<OwnToken>
  /** Why the token is shared, if it is. */
  readonly unfenced: Option.Option<string>
  /** When the holder's own token was minted, in milliseconds of the cloud's clock. */
  readonly mintedAt: Option.Option<number>
}

/** Mints the holder's own token and revokes older ones; or continues with a shared token, and says so. */
export const mint = (
  slot: HeldSlot,
  deployment: Deployment
): Effect.Effect<Fence, ProviderError | CacheError | LeaseLost | SlotContested> =>
  Effect.gen(function*() {
    const { fence, sharedToken } = slot.pool.options
    if (fence === "off") return yield* share(slot, deployment, "AIRFLOW_RESOURCE_FENCE is off")
    const minted = yield* retried(mintOwn(slot, deployment.id), slot.retries).pipe(
      Effect.asSome,
      Effect.catchIf(
        (error) =>
          error._tag === "ProviderError" && error.kind === "forbidden" && fence === "auto" &&
          Option.isSome(sharedToken),
        () => Effect.succeedNone
      )
    )
    if (Option.isNone(minted)) {
      return yield* share(slot, deployment, "the token for Astro may not mint others (a Workspace Owner's may)")
    }
    const own = minted.value
    const { busyUntil } = yield* Effect.onError(
      Effect.zipRight(revokeOlder(slot, deployment, own), slot.current),
      () => slot.discard(deployment.id, own.id)
    )
    return {
      token: own.value,
      own: Option.some({
        id: own.id,
        lastOf: Option.liftPredicate(own.version, () => busyUntil === null)
      }),
      unfenced: Option.none(),
      mintedAt: Option.some(own.createdAt)
    }
  })

/**
 * Whether another ledger leases a deployment that is about to be deleted, or hibernated by a holder that has no token yet. As everywhere,
 * the holder mints its own token before it lists the others (counterexample 9). `false` if the deployment does not exist, or if no token
 * may be minted: then there are no tokens to find.
 */
export const isInUse = (
  slot: HeldSlot,
  id: DeploymentId
): Effect.Effect<boolean, ProviderError | CacheError | LeaseLost> =>
  Effect.gen(function*() {
    if (slot.pool.options.fence !== "off") {
      const own = yield* Effect.either(mintOwn(slot, id))
      if (Either.isRight(own)) {
        const contested = isContested(slot, own.right, yield* listTokens(slot, id))
        if (contested) yield* slot.discard(id, own.right.id)
        return contested
      }
      if (own.left._tag !== "ProviderError") return yield* own.left
      if (isAbsent(own.left)) return false
    }
    // without a token of its own, the holder cannot tell how old the others are: each of them counts as in use
    return (yield* listTokens(slot, id)).some(Predicate.not(belongsToLedger(slot)))
  }).pipe(
    Effect.catchIf((error) => error._tag === "ProviderError" && isAbsent(error), () => Effect.succeed(false))
  )

/**
 * Revokes this ledger's tokens on a deployment that is not going to be used now, and records that none is left. With `own`, no list is
 * needed. While a request of the hold may still land, the tokens stay, because holders in other ledgers step back from them
 * (counterexample 18): the mark says that they exist, and the reaper revokes them later, or, without one, this holder.
 */
export const revoke = (
  slot: HeldSlot,
  id: DeploymentId,
  own: Option.Option<OwnToken>
): Effect.Effect<void, ProviderError | CacheError | LeaseLost> =>
  Effect.gen(function*() {
    const { busyUntil, tokens: { mayExist, version } } = yield* slot.current
    if (!mayExist) return
    const left = (busyUntil ?? 0) - (yield* slot.now)
    if (left > 0 && slot.pool.hasReaper) return
    yield* Effect.sleep(Math.max(0, left))
    const last = Option.flatMap(own, ({ id, lastOf }) => Option.map(lastOf, (version) => ({ ids: [id], version })))
    // requested when no mint could land any more, so that it shows all there are (counterexample 15)
    const all = Effect.map(listTokens(slot, id), (tokens) => ({
      ids: tokens.filter(belongsToLedger(slot)).map((token) => token.id),
      version
    }))
    const found = yield* Option.match(last, { onNone: () => all, onSome: Effect.succeed })
    yield* deleteTokens(slot, id, found.ids)
    yield* slot.write({ noTokens: found.version })
  })

/** Whether a token belongs to the pool's ledger. */
export const isOfLedger = (pool: PoolContext) => ({ name }: DeploymentToken): boolean =>
  name.startsWith(ledgerPrefix(pool))

// internal

/** The start of the name of every token that any pool mints: two pools may have adopted the same deployment. */
const anyPool = "airflow-resource "
const poolPrefix = ({ pool }: HeldSlot) => `${anyPool}${pool.rules.poolId} `
const ledgerPrefix = ({ cache, rules }: PoolContext) => `${anyPool}${rules.poolId} ${cache.ledgerId} `
/** The provider may not mint tokens, or the deployment does not exist: there are none. */
const isAbsent = ({ kind }: ProviderError) => kind === "forbidden" || kind === "notFound"

const tokenName = (slot: HeldSlot) => `${ledgerPrefix(slot.pool)}s${slot.number} e${slot.epoch}`
const belongsToLedger = ({ pool }: HeldSlot) => isOfLedger(pool)

/** Continues with a token that others have too, and says so. Tokens of earlier holders are revoked, if it is allowed. */
const share = (slot: HeldSlot, { id }: Deployment, why: string) =>
  Effect.gen(function*() {
    const token = yield* Effect.mapError(slot.pool.options.sharedToken, () =>
      new ProviderError({
        kind: "unauthorized",
        operation: "share a token",
        detail: "there is no token that leases could share",
        remedy: "Set ASTRO_API_TOKEN, or AIRFLOW_RESOURCE_FENCE=auto."
      }))
    const { tokens } = yield* slot.write({ fenced: false })
    yield* slot.wait(`continuing unfenced: ${why}`)
    if (tokens.mayExist) {
      yield* listTokens(slot, id).pipe(
        Effect.flatMap((all) => deleteTokens(slot, id, all.filter(belongsToLedger(slot)).map((one) => one.id))),
        Effect.catchIf((error) => error._tag === "ProviderError" && isAbsent(error), () => Effect.void)
      )
    }
    return { token, own: Option.none(), unfenced: Option.some(why), mintedAt: Option.none() }
  })

/** Mints a token. If it is refused, the mark is as it was before. */
const mintOwn = (slot: HeldSlot, id: DeploymentId) =>
  Effect.flatMap(slot.current, ({ tokens: { mayExist, version } }) =>
    slot.mint(id, tokenName(slot)).pipe(
      Effect.tapError((error) =>
        error._tag === "ProviderError" && !error.ambiguous && !mayExist
          ? slot.write({ noTokens: version + 1 })
          : Effect.void
      )
    ))

/** Whether a lease of another ledger may be using the deployment, judged by the cloud's clock: `own` was minted just now. */
const isContested = (slot: HeldSlot, own: DeploymentToken, tokens: ReadonlyArray<DeploymentToken>) =>
  tokens.some((token) => !belongsToLedger(slot)(token) && token.createdAt + slot.pool.rules.maxHold > own.createdAt)

const listTokens = ({ pool }: HeldSlot, id: DeploymentId) =>
  Effect.map(pool.provider.listTokens(id), (tokens) => tokens.filter((token) => token.name.startsWith(anyPool)))

/** Revokes every older token of the pool; steps back if another ledger's lease is alive (counterexample 9). */
const revokeOlder = (slot: HeldSlot, deployment: Deployment, own: DeploymentToken) =>
  Effect.gen(function*() {
    const tokens = yield* listTokens(slot, deployment.id)
    if (isContested(slot, own, tokens)) return yield* new SlotContested({ name: deployment.name })
    const older = tokens.filter((token) => token.id !== own.id && token.name.startsWith(poolPrefix(slot)))
    yield* deleteTokens(slot, deployment.id, older.map((token) => token.id))
  })

/**
 * Records the revocation before the requests and after them, so that the next holder knows of it even if this process dies in between
 * (counterexample 8).
 */
const deleteTokens = (slot: HeldSlot, id: DeploymentId, tokens: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    if (tokens.length === 0) return
    yield* slot.write({ revoked: true })
    yield* Effect.forEach(tokens, (token) => slot.pool.provider.deleteToken(id, token), { discard: true })
    yield* slot.write({ revoked: true })
  })
