/** Keeps a hold alive: beats well before each deadline, and reports when the hold is lost. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import { LeaseLost } from "../../Lease.js"

/** What is kept alive. */
export interface Held {
  /** For messages: "slot 2". */
  readonly name: string
  readonly epoch: number
  /** How long the holder may go without a beat, in milliseconds. */
  readonly ttl: number
  /** Extends the deadline. `false`: the hold is lost. */
  readonly beat: Effect.Effect<boolean, CacheError>
}

export interface Heartbeat {
  /** Never succeeds; fails when the hold is lost. */
  readonly lost: Effect.Effect<never, LeaseLost>
}

/**
 * Beats at once and then four times per `ttl`, until the scope closes. A ledger that cannot be reached does not end the
 * hold before the deadline; after the deadline the hold is lost, whether or not the ledger can be reached.
 */
export const make = (held: Held): Effect.Effect<Heartbeat, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    // monotonic, so that changing the wall clock moves no deadline
    const now = () => Number(clock.unsafeCurrentTimeNanos() / 1_000_000n)
    const lost = yield* Deferred.make<never, LeaseLost>()
    let deadline = now() + held.ttl
    let failure: string | undefined
    const beatOnce = Effect.suspend((): Effect.Effect<Loss | undefined> => {
      const sentAt = now()
      return held.beat.pipe(
        Effect.timeoutTo({
          duration: Math.max(0, deadline - sentAt),
          onSuccess: (isHeld): Loss | undefined => {
            if (!isHeld) return "silent"
            deadline = sentAt + held.ttl
            failure = undefined
            return undefined
          },
          onTimeout: (): Loss => "silent"
        }),
        // a ledger in another file does not know this holder
        Effect.catchAll(({ detail, kind }) =>
          Effect.sync(() => {
            failure = detail
            return kind === "replaced" ? kind : now() < deadline ? undefined : "silent"
          })
        )
      )
    })
    yield* beatOnce.pipe(
      Effect.tap((loss) =>
        loss === undefined
          ? Effect.suspend(() => Effect.sleep(Math.max(0, Math.min(held.ttl / 4, deadline - now()))))
          : Deferred.fail(lost, lossOf(held, loss, failure))
      ),
      Effect.repeat({ while: (loss) => loss === undefined }),
      Effect.withTracerEnabled(false),
      Effect.interruptible,
      Effect.forkScoped
    )
    return { lost: Deferred.await(lost) }
  })

/** How a hold can be lost. */
export type Loss = keyof typeof reasons

/** `failure`: why the last beat failed, if it did. */
export const lossOf = ({ epoch, name }: Pick<Held, "name" | "epoch">, loss: Loss, failure?: string): LeaseLost =>
  new LeaseLost({
    held: name,
    epoch,
    reason: loss === "silent" && failure !== undefined
      ? `no beat could be recorded before its deadline: ${failure}`
      : reasons[loss]
  })

// internal

const reasons = {
  silent: "no beat arrived before its deadline, it was held for longer than AIRFLOW_RESOURCE_MAX_HOLD allows, " +
    "or an administrator released it",
  replaced: "its cache file was moved, deleted or replaced"
}
