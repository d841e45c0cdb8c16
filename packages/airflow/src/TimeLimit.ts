/**
 * Time limits that hold whoever waits: `Effect.timeout` cannot end what an uninterruptible caller, such as a finalizer, waits for; and
 * with `Effect.interruptible` inside it, an interruption would end what that caller is to finish.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"

/**
 * Runs an effect for so long at most; `None`: it was interrupted at the limit. An interruption ends it only where it would end the caller.
 *
 * @example
 * ```ts
 * import * as TimeLimit from "@airflow-resource/airflow/TimeLimit"
 * import * as Effect from "effect/Effect"
 *
 * // ends after a second, although it is uninterruptible
 * export const program = Effect.uninterruptible(TimeLimit.option(Effect.never, "1 second"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const option = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  limit: Duration.DurationInput
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      // not a child: those are interrupted with their parent, whether or not it may be
      const fiber = yield* Effect.forkDaemon(Effect.interruptible(Effect.timeoutOption(self, limit)))
      return yield* restore(Fiber.join(fiber)).pipe(Effect.onInterrupt(() => Fiber.interrupt(fiber)))
    })
  )
