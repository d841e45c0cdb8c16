/**
 * Keeps a holder alive: beats well within its deadline, and tells once it is lost.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "./DeploymentCache.js"
import { LeaseLost } from "./Lease.js"
import type { PoolRules } from "./PoolPolicy.js"

/**
 * Beats four times in the time that a holder may be silent, until the scope closes. The effect inside never succeeds; it fails
 * when the slot is lost. A ledger that cannot be reached is no loss before the deadline is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  beat: (rules: PoolRules, slot: number, epoch: number) => Effect.Effect<boolean, CacheError>,
  rules: PoolRules,
  slot: number,
  epoch: number
): Effect.Effect<{ readonly lost: Effect.Effect<never, LeaseLost> }, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const lost = yield* Deferred.make<never, LeaseLost>()
    let deadline = clock.unsafeCurrentTimeMillis() + rules.ttl
    const once = Effect.suspend(() => {
      const sentAt = clock.unsafeCurrentTimeMillis()
      return beat(rules, slot, epoch).pipe(
        Effect.tap((held) => Effect.sync(() => deadline = held ? sentAt + rules.ttl : deadline)),
        // in another file this holder is unknown
        Effect.catchAll(({ kind }) =>
          Effect.sync(() => kind !== "replaced" && clock.unsafeCurrentTimeMillis() < deadline)
        )
      )
    })
    yield* once.pipe(
      Effect.delay(rules.ttl / 4),
      Effect.repeat({ while: (held) => held }),
      Effect.zipRight(Deferred.fail(
        lost,
        new LeaseLost({
          held: `slot ${slot}`,
          epoch,
          reason:
            "it was silent past its deadline, held longer than AIRFLOW_RESOURCE_MAX_HOLD allows, or its cache file is gone"
        })
      )),
      Effect.withTracerEnabled(false),
      Effect.interruptible,
      Effect.forkScoped
    )
    return { lost: Deferred.await(lost) }
  })
