/**
 * What makes an old holder harmless: every holder works with a token of its own, and deletes those of the holders before it
 * before anybody uses the slot.
 *
 * @since 0.1.0
 */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { CacheError } from "./CacheError.js"
import type { Deployment, DeploymentId } from "./Deployment.js"
import type { DeploymentToken, ProviderError } from "./DeploymentProvider.js"
import type { HeldSlot } from "./HeldSlot.js"
import { step, write } from "./HeldSlot.js"
import { LeaseLost } from "./Lease.js"

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
 * What a holder works with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fence {
  readonly token: Redacted.Redacted
  /** Of the holder's own token; the value of one that is shared belongs to nobody. */
  readonly tokenId: Option.Option<string>
  /** Why the token is not the holder's own, where it is not. */
  readonly unfenced: Option.Option<string>
  /** When the holder's own token was made, in milliseconds of the cloud's clock. */
  readonly mintedAt: Option.Option<number>
}

/**
 * Makes the holder's own token and deletes older ones; or goes on, openly, with somebody else's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const mint = (
  slot: HeldSlot,
  deployment: Deployment
): Effect.Effect<Fence, ProviderError | CacheError | LeaseLost | SlotContested> =>
  Effect.gen(function*() {
    const { accessToken, apiToken, fence } = slot.options
    if (fence === "auto" && Option.isSome(apiToken)) {
      return yield* goUnfenced(slot, apiToken.value, "ASTRO_API_TOKEN is set, which all leases share")
    }
    yield* step(slot, "making a token")
    const minted = yield* slot.provider.createToken(deployment.id, tokenName(slot)).pipe(
      Effect.retry({ schedule: Polling.backoff, times: 4, while: (error) => error.retryable }),
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
      sweep(slot, deployment, own),
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
    return {
      token: own.value,
      tokenId: Option.some(own.id),
      unfenced: Option.none(),
      mintedAt: Option.some(own.createdAt)
    }
  })

/**
 * Whether another ledger leases a deployment that is about to be deleted, or put to sleep by a holder that has no token yet: as
 * everywhere, the own token is made before others are looked for (counterexample 9). `false` where it is gone, and where no
 * token may be made: then there are none to see.
 *
 * @since 0.1.0
 * @category combinators
 */
export const isInUse = (slot: HeldSlot, id: DeploymentId): Effect.Effect<boolean, ProviderError> =>
  Effect.gen(function*() {
    const own = yield* Effect.either(slot.provider.createToken(id, tokenName(slot)))
    if (Either.isRight(own)) {
      const contested = isContested(slot, own.right, yield* tokensOf(slot, id))
      if (contested) yield* slot.provider.deleteToken(id, own.right.id)
      return contested
    }
    if (own.left.kind === "forbidden" || own.left.kind === "notFound") return yield* own.left
    // without it nobody knows how old the others are: whoever has one is let alone
    return (yield* tokensOf(slot, id)).some(Predicate.not(isOfLedger(slot)))
  }).pipe(Effect.catchIf(({ kind }) => kind === "forbidden" || kind === "notFound", () => Effect.succeed(false)))

/**
 * Deletes the tokens of this ledger that are still on a deployment which nobody is going to use now; `own` where their names need
 * not be looked up.
 *
 * @since 0.1.0
 * @category combinators
 */
export const revoke = (
  slot: HeldSlot,
  id: DeploymentId,
  own: Option.Option<string>
): Effect.Effect<void, ProviderError | CacheError | LeaseLost> =>
  Effect.flatMap(
    Option.match(own, {
      onNone: () =>
        Effect.map(tokensOf(slot, id), (tokens) => tokens.filter(isOfLedger(slot)).map((token) => token.id)),
      onSome: (tokenId) => Effect.succeed([tokenId])
    }),
    (ids) => remove(slot, id, ids)
  )

// internal

/** Every token of ours, of whatever pool: two of them may have adopted the same deployment. */
const mark = "airflow-resource "
const poolPrefix = (slot: HeldSlot) => `${mark}${slot.rules.poolId} `
const ledgerPrefix = (slot: HeldSlot) => `${poolPrefix(slot)}${slot.cache.ledgerId} `
const tokenName = (slot: HeldSlot) => `${ledgerPrefix(slot)}s${slot.number} e${slot.epoch}`
const isOfLedger = (slot: HeldSlot) => (token: DeploymentToken) => token.name.startsWith(ledgerPrefix(slot))

const goUnfenced = (slot: HeldSlot, token: Redacted.Redacted, why: string) =>
  Effect.as(
    Effect.zipRight(write(slot, { fenced: false }), step(slot, `going on unfenced: ${why}`)),
    { token, tokenId: Option.none<string>(), unfenced: Option.some(why), mintedAt: Option.none<number>() }
  )

/** Whether another ledger's lease may live on the deployment of these tokens: by the cloud's time, which the own token has. */
const isContested = (slot: HeldSlot, own: DeploymentToken, tokens: ReadonlyArray<DeploymentToken>) =>
  tokens.some((token) => !isOfLedger(slot)(token) && token.createdAt + slot.rules.maxHold > own.createdAt)

const tokensOf = (slot: HeldSlot, id: DeploymentId) =>
  Effect.map(slot.provider.listTokens(id), (tokens) => tokens.filter((token) => token.name.startsWith(mark)))

/** Every older token of the pool goes; a living lease of another ledger makes this holder step back (counterexample 9). */
const sweep = (slot: HeldSlot, deployment: Deployment, own: DeploymentToken) =>
  Effect.gen(function*() {
    const tokens = yield* tokensOf(slot, deployment.id)
    if (isContested(slot, own, tokens)) return yield* new SlotContested({ name: deployment.name })
    const older = tokens.filter((token) => token.id !== own.id && token.name.startsWith(poolPrefix(slot)))
    yield* remove(slot, deployment.id, older.map((token) => token.id))
  })

/**
 * `revokedAt` is written before the request and at its answer: whoever comes next must know even if this process dies in between
 * (counterexample 8).
 */
const remove = (slot: HeldSlot, id: DeploymentId, tokens: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    if (tokens.length === 0) return
    yield* write(slot, { revoked: true })
    yield* Effect.forEach(tokens, (token) => slot.provider.deleteToken(id, token), { discard: true })
    yield* write(slot, { revoked: true })
  })
