/** What SIGINT, SIGTERM and SIGHUP do to a command. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import process from "node:process"

export const all = ["SIGINT", "SIGTERM", "SIGHUP"] as const

export type Signal = typeof all[number]

/** Interrupts the command at the first signal. At the second it ends at once, and the reaper gives back what it held. */
export const interrupt = (command: () => void): void => {
  let received = 0
  listen(() => {
    if (handler !== undefined) return handler
    return () => {
      received += 1
      if (received > 1) {
        process.stderr.write("\nEnded before everything was given back: the reaper does the rest.\n")
        process.exit(130)
      }
      isSignalled = true
      command()
    }
  })
}

/** Whether a signal has interrupted the command. */
export const hasInterrupted = (): boolean => isSignalled

/** Until the scope closes, a signal does this instead. */
export const handle = (handle: (signal: Signal) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      handler = handle
    }),
    () =>
      Effect.sync(() => {
        handler = undefined
      })
  )

// internal

let isSignalled = false

let handler: ((signal: Signal) => void) | undefined

/**
 * One Ctrl-C may arrive twice: from the terminal, and forwarded by npx. So the same signal within half a second counts
 * once.
 */
const listen = (handlerOf: () => (signal: Signal) => void) => {
  for (const signal of all) {
    let last = -Infinity
    process.on(signal, () => {
      const now = performance.now()
      if (now - last < 500) return
      last = now
      handlerOf()(signal)
    })
  }
}
