/** An effect as the body of a vitest test. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestContext from "effect/TestContext"
import type * as TestServices from "effect/TestServices"
import type { TestContext as Context } from "vitest"

/**
 * Runs an effect under TestClock, without the default logger. It is interrupted when the test ends, and the test waits
 * for that. Rejects with the first error; others are logged.
 */
export const run = async <A, E>(
  self: Effect.Effect<A, E, TestServices.TestServices>,
  { onTestFinished, signal }: Context,
  /** How long the interruption may take, in milliseconds. */
  interruptTimeout: number
): Promise<void> => {
  const fiber = Effect.runFork(Effect.provide(self, environment))
  onTestFinished(() => Effect.runPromise(Effect.asVoid(Fiber.interrupt(fiber))), interruptTimeout)
  const exit = await Effect.runPromise(Fiber.await(fiber), { signal })
  if (Exit.isSuccess(exit)) return
  const [error, ...others] = Cause.prettyErrors(exit.cause)
  for (const other of others) Effect.runSync(Effect.logError(other))
  throw error ?? new Error("All fibers of the test were interrupted, without an error.")
}

// internal

const environment = Layer.provide(TestContext.TestContext, Logger.remove(Logger.defaultLogger))
