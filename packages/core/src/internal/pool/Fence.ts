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
import type { DeploymentToken, ProviderError } from "../../DeploymentProvider.js"
import { LeaseLost } from "../../Lease.js"
import type { HeldSlot } from "./HeldSlot.js"
import { retried } from "./HeldSlot.js"

/** A lease of another ledger is using the deployment: this holder steps back. */
export class SlotContested extends Schema.TaggedError<SlotContested>("@airflow-resource/core/SlotContested")(
  "SlotContested",
  { name: Schema.String }
) {
  override get message(): string {
    return `The deployment ${this.name} is leased by a process that uses another cache. ` +
      `Let both use the same one (AIRFLOW_RESOURCE_CACHE).`
  }
  readonly retryable = true
}

/** The token that a holder works with. */
export interface Fence {
  readonly token: Redacted.Redacted
  /** The id of the holder's own token; `None` for a token that is shared. */
  readonly tokenId: Option.Option<string>
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
    const { options: { accessToken, apiToken, fence }, provider } = slot.pool
    if (fence === "auto" && Option.isSome(apiToken)) {
      return yield* unfenced(slot, apiToken.value, "all leases share the token in ASTRO_API_TOKEN")
    }
    yield* slot.step("minting a token")
    const minted = yield* retried(provider.createToken(deployment.id, tokenName(slot)), 4).pipe(
      Effect.asSome,
      Effect.catchIf(
        (error) => fence === "auto" && error.kind === "forbidden" && Option.isSome(accessToken),
        () => Effect.succeedNone
      )
    )
    if (Option.isNone(minted)) {
      const shared = Option.getOrThrow(accessToken)
      return yield* unfenced(slot, shared, "the access token may not mint deployment tokens (a Workspace Owner's may)")
    }
    const own = minted.value
    yield* Effect.onError(
      revokeOlder(slot, deployment, own),
      () => Effect.ignore(provider.deleteToken(deployment.id, own.id))
    )
    // a holder that was paused before the mint may have lost the slot, and the next holder may have revoked tokens before that
    // mint (counterexample 6)
    if (!(yield* slot.beat)) {
      yield* Effect.ignore(provider.deleteToken(deployment.id, own.id))
      return yield* new LeaseLost({
        held: `slot ${slot.number}`,
        epoch: slot.epoch,
        reason: "its deadline passed while its token was minted"
      })
    }
    return {
      token: own.value,
      tokenId: Option.some(own.id),
      unfenced: Option.none(),
      mintedAt: Option.some(own.createdAt)
    }
  })

/**
 * Whether another ledger leases a deployment that is about to be deleted, or hibernated by a holder that has no token yet. As everywhere,
 * the holder mints its own token before it lists the others (counterexample 9). `false` if the deployment does not exist, or if no token
 * may be minted: then there are no tokens to find.
 */
export const isInUse = (slot: HeldSlot, id: DeploymentId): Effect.Effect<boolean, ProviderError> =>
  Effect.gen(function*() {
    const { provider } = slot.pool
    const own = yield* Effect.either(provider.createToken(id, tokenName(slot)))
    if (Either.isRight(own)) {
      const contested = isContested(slot, own.right, yield* listTokens(slot, id))
      if (contested) yield* provider.deleteToken(id, own.right.id)
      return contested
    }
    if (own.left.kind === "forbidden" || own.left.kind === "notFound") return false
    // without a token of its own, the holder cannot tell how old the others are: each of them counts as in use
    return (yield* listTokens(slot, id)).some(Predicate.not(belongsToLedger(slot)))
  }).pipe(Effect.catchIf(({ kind }) => kind === "forbidden" || kind === "notFound", () => Effect.succeed(false)))

/**
 * Revokes this ledger's tokens on a deployment that is not going to be used now. With `own`, revokes only that token and lists none.
 */
export const revoke = (
  slot: HeldSlot,
  id: DeploymentId,
  own: Option.Option<string>
): Effect.Effect<void, ProviderError | CacheError | LeaseLost> =>
  Effect.flatMap(
    Option.match(own, {
      onNone: () =>
        Effect.map(
          listTokens(slot, id),
          (tokens) => tokens.filter(belongsToLedger(slot)).map((token) => token.id)
        ),
      onSome: (tokenId) => Effect.succeed([tokenId])
    }),
    (ids) => deleteTokens(slot, id, ids)
  )

// internal

/** The start of the name of every token that any pool mints: two pools may have adopted the same deployment. */
const anyPool = "airflow-resource "
const poolPrefix = ({ pool }: HeldSlot) => `${anyPool}${pool.rules.poolId} `
const ledgerPrefix = (slot: HeldSlot) => `${poolPrefix(slot)}${slot.pool.cache.ledgerId} `
const tokenName = (slot: HeldSlot) => `${ledgerPrefix(slot)}s${slot.number} e${slot.epoch}`
const belongsToLedger = (slot: HeldSlot) => (token: DeploymentToken) => token.name.startsWith(ledgerPrefix(slot))

const unfenced = (slot: HeldSlot, token: Redacted.Redacted, why: string) =>
  Effect.as(
    Effect.zipRight(slot.write({ fenced: false }), slot.wait(`continuing unfenced: ${why}`)),
    { token, tokenId: Option.none<string>(), unfenced: Option.some(why), mintedAt: Option.none<number>() }
  )

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
