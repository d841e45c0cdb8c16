/**
 * Keeps a holder alive: beats well within its deadline, and tells once it is lost.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "./CacheError.js"
import { LeaseLost } from "./Lease.js"

/**
 * What is to be kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface Held {
  /** For people: "slot 2". */
  readonly name: string
  readonly epoch: number
  /** How long its holder may be silent, in milliseconds. */
  readonly ttl: number
  /** `false`: it is lost. */
  readonly beat: Effect.Effect<boolean, CacheError>
}

/**
 * A holder that is kept alive.
 *
 * @since 0.1.0
 * @category models
 */
export interface Heartbeat {
  /** Never succeeds; fails when what was held is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * Beats at once and then four times in the time that a holder may be silent, until the scope closes. A ledger that cannot be reached
 * is no loss before the deadline is; the deadline is one without anybody being asked.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (held: Held): Effect.Effect<Heartbeat, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    // no change of the wall clock moves a deadline
    const now = () => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
    const lost = yield* Deferred.make<never, LeaseLost>()
    let deadline = now() + held.ttl
    const once = Effect.suspend((): Effect.Effect<Loss | undefined> => {
      const sentAt = now()
      return held.beat.pipe(
        Effect.timeoutTo({
          duration: Math.max(0, deadline - sentAt),
          onSuccess: (isHeld): Loss | undefined => {
            if (!isHeld) return "silent"
            deadline = sentAt + held.ttl
            return undefined
          },
          onTimeout: (): Loss => "silent"
        }),
        // in another file this holder is unknown
        Effect.catchAll(({ kind }) =>
          Effect.sync(() => kind === "replaced" ? kind : now() < deadline ? undefined : "silent")
        )
      )
    })
    yield* once.pipe(
      Effect.tap((loss) =>
        loss === undefined
          ? Effect.suspend(() => Effect.sleep(Math.max(0, Math.min(held.ttl / 4, deadline - now()))))
          : Deferred.fail(lost, lossOf(held, loss))
      ),
      Effect.repeat({ while: (loss) => loss === undefined }),
      Effect.withTracerEnabled(false),
      Effect.interruptible,
      Effect.forkScoped
    )
    return { lost: Deferred.await(lost) }
  })

/**
 * How a holder loses what it holds.
 *
 * @since 0.1.0
 * @category models
 */
export type Loss = keyof typeof reasons

/**
 * @since 0.1.0
 * @category constructors
 */
export const lossOf = ({ epoch, name }: Pick<Held, "name" | "epoch">, loss: Loss): LeaseLost =>
  new LeaseLost({ held: name, epoch, reason: reasons[loss] })

// internal

const reasons = {
  silent: "it was silent past its deadline, or held longer than AIRFLOW_RESOURCE_MAX_HOLD allows",
  replaced: "its cache file was moved, deleted or replaced"
}
