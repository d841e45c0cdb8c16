/**
 * Time limits for uninterruptible callers. `Effect.timeout` cannot end what an uninterruptible caller, such as a
 * finalizer, waits for. Wrapping the effect in `Effect.interruptible` would fix that, but then an interruption of the
 * caller would also cut short an effect that the caller has to finish.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * Interrupts an effect at the limit and fails with `onTimeout`, even where the caller is uninterruptible. An
 * interruption of the caller ends the effect only where it would end the caller too.
 *
 * @example
 * ```ts
 * import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
 * import * as Cause from "effect/Cause"
 * import * as Effect from "effect/Effect"
 *
 * // ends after a second, although it is uninterruptible
 * export const program = Effect.uninterruptible(
 *   TimeLimit.fail(Effect.never, { limit: "1 second", onTimeout: () => new Cause.TimeoutException() })
 * )
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const fail = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  options: {
    readonly limit: Duration.DurationInput
    readonly onTimeout: () => E2
  }
): Effect.Effect<A, E | E2, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const limited = Effect.timeoutFail(self, { duration: options.limit, onTimeout: options.onTimeout })
      // a daemon: a child fiber would be interrupted with its parent, even where the parent may not be interrupted yet
      const fiber = yield* Effect.forkDaemon(Effect.interruptible(limited))
      return yield* restore(Fiber.join(fiber)).pipe(Effect.onInterrupt(() => Fiber.interrupt(fiber)))
    })
  )
