/** Shows on stderr what a lease is doing: one live line on a terminal, else a line for each step. */
import type { Progress } from "@airflow-resource/core/LeasedSlot"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import process from "node:process"
import { ago, oneLine } from "../text.js"
import * as Output from "./output.js"

export interface Display {
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
  /** Erases the live line, until the next step. */
  readonly pause: Effect.Effect<void>
}

/** A display that ends with the scope. */
export const make: Effect.Effect<Display, never, Scope.Scope> = Effect.gen(function*() {
  const begunAt = yield* Clock.currentTimeMillis
  let step: (Progress & { readonly since: number }) | undefined
  const erase = Effect.sync(() => {
    if (isLive) process.stderr.write("\r\u001b[2K")
  })
  const draw = Effect.gen(function*() {
    if (step === undefined || !isLive) return
    const now = yield* Clock.currentTimeMillis
    const line = `${oneLine(step.activity)} (${ago(now - step.since)}${usually(step)}; ${ago(now - begunAt)} in all)`
    process.stderr.write(`\r\u001b[2K${line.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}`)
  })
  yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("1 second")))
  const pause = Effect.suspend(() => {
    step = undefined
    return erase
  })
  yield* Effect.addFinalizer(() => pause)
  return {
    pause,
    onProgress: (progress) =>
      Effect.suspend(() => {
        const isNew = progress.activity !== step?.activity
        if (isNew) step = { ...progress, since: progress.at }
        if (isNew && !isLive) {
          process.stderr.write(`airflow-resource: ${oneLine(progress.activity)}${usually(progress)}\n`)
        }
        return draw
      })
  }
})

/** The display says what the info logs would say. A warning erases the live line, and is one line without a stack. */
export const logger = Layer.merge(
  Logger.minimumLogLevel(LogLevel.Warning),
  Logger.replace(
    Output.logger,
    Logger.make(({ cause, logLevel, message }) => {
      const reasons = Cause.prettyErrors(cause).map((error) => error.message)
      const text = [...Arr.ensure(message).map(String), ...reasons].join(" ")
      process.stderr.write(
        `${isLive ? "\r\u001b[2K" : ""}airflow-resource: ${logLevel.label.toLowerCase()}: ${oneLine(text)}\n`
      )
    })
  )
)

// internal

const isLive = process.stderr.isTTY === true && process.env["TERM"] !== "dumb"

const usually = ({ usual }: Progress) =>
  usual === undefined || Duration.lessThan(usual, "1 second")
    ? ""
    : `${isLive ? " of " : ", "}usually ${ago(Duration.toMillis(usual))}`
