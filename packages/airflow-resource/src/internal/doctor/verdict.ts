/** What a check of `doctor` returns. */
import type * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Platform } from "../provider/parts.js"

export interface Verdict {
  /** `skip`: not needed with these settings, or impossible before another check passes. */
  readonly state: "pass" | "warn" | "fail" | "skip"
  readonly says: string
  readonly remedy: string | null
}

/** A check never fails: whatever it finds is a verdict. It creates, changes and wakes nothing. */
export type Check<R = Platform | Scope.Scope> = Effect.Effect<Verdict, never, R>

/** Checks by name, in the order in which they are shown. */
export type Checks = Readonly<Record<string, Check>>

export const pass = (says: string): Verdict => ({ state: "pass", says, remedy: null })
export const skip = (says: string): Verdict => ({ state: "skip", says, remedy: null })
export const warn = (says: string, remedy: string): Verdict => ({ state: "warn", says, remedy })
export const fail = (says: string, remedy: string): Verdict => ({ state: "fail", says, remedy })

/** The verdict on an error. */
export const failed = ({ detail, remedy }: { readonly detail: string; readonly remedy: string }): Verdict =>
  fail(detail, remedy)

/** What `failed` takes, for a check that ran into its timeout. */
export const noResponse = (timeout: Duration.Duration) => ({
  detail: `no response within ${Duration.format(timeout)}`,
  remedy: "Check the network and the proxies (HTTPS_PROXY), then try again."
})

/** Checks what the variables say. Skipped if one of them is missing or invalid, which the check `configuration` reports. */
export const given = <A, R>(config: Config.Config<A>, check: (a: A) => Check<R>): Check<R> =>
  Effect.matchEffect(config, {
    onFailure: (error) => Effect.succeed(skip(`not checked without ${firstVariable(error)}`)),
    onSuccess: check
  })

const firstVariable = (error: ConfigError.ConfigError): string =>
  error._op === "And" || error._op === "Or" ? firstVariable(error.left) : error.path.join("_")
