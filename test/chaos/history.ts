import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import type { Emulator } from "@airflow-resource/emulator"
import { AirflowResources } from "airflow-resource"
import { Cause, Effect, Layer } from "effect"
import type { Finding, Hold } from "./checker.js"
import * as Checker from "./checker.js"

/** The pool's times in milliseconds, as short as the emulator's speed allows. */
export const bounds = { ttl: 2_000, longestRequest: 1_000, revocationWait: 300 } as const

export const speed = 1_000

/** At this speed a deleted token is still accepted for 200 milliseconds. */
export const durations = { tokenRevocation: "200 seconds" } as const

export const poolOptions: Partial<PoolOptions> = {
  ...bounds,
  acquireTimeout: 30_000,
  healthyTimeout: 60_000,
  readyTimeout: 60_000,
  reset: { settle: 10_000 / speed }
}

/**
 * The pool of these processes, in the test's own process. It repairs what they left behind, and must not lose its own
 * leases on a busy machine.
 */
export const layer = (emulator: Emulator.Service, folder: string, options: Partial<PoolOptions>) =>
  Layer.unwrapEffect(
    Effect.map(
      AirflowResources.settingsOf(emulator, {
        AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`,
        AIRFLOW_RESOURCE_REAPER: "off",
        AIRFLOW_RESOURCE_DELIVERY: "none"
      }),
      (settings) => AirflowResources.layer(settings, { ...options, ttl: 60_000, acquireTimeout: 120_000 })
    )
  )

/**
 * Polls until the condition holds, for five minutes at most: a process may take two of them to start on a busy machine.
 */
export const until = <E, R>(what: string, condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.sleep("20 millis").pipe(
    Effect.zipRight(condition),
    Effect.repeat({ until: (holds) => holds }),
    Effect.timeoutFailCause({
      duration: "5 minutes",
      onTimeout: () => Cause.die(new Error(`${what}: not within 5 minutes`))
    })
  )

/** Prints what a test has tried. Vitest hides the log of a test that passes. */
export const report = (what: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${what}\n`))

/** What processes printed about their leases. */
export interface Printed {
  readonly holds: ReadonlyArray<Hold>
  readonly findings: ReadonlyArray<Finding>
}

/** Drains the pool. Returns the whole history and all violations in it. */
export const conclude = (emulator: Emulator.Service, max: number, printed: Printed) =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    yield* pool.drain({ timeout: "2 minutes" })
    const [audit, snapshot, events] = yield* Effect.all([emulator.audit, pool.inspect, pool.events()])
    const history: Checker.History = { max, events, audit, ...printed }
    return { history, violations: [...Checker.safety(history), ...Checker.leftovers(snapshot, audit)] }
  })
