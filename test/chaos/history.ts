import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import type { Emulator } from "@airflow-resource/emulator"
import { AirflowResources } from "airflow-resource"
import { Cause, Effect, Layer } from "effect"
import type { Find, Hold } from "./checker.js"
import * as Checker from "./checker.js"

/** The bounds that the emulator's speed and the machine allow, in milliseconds. */
export const bounds = { ttl: 2_000, longestRequest: 1_000, revocationWait: 300 } as const

export const speed = 1_000

/** A deleted token is accepted for 200 milliseconds more. */
export const durations = { tokenRevocation: "200 seconds" } as const

export const poolOptions: Partial<PoolOptions> = {
  ...bounds,
  acquireTimeout: 30_000,
  healthyTimeout: 15_000,
  readyTimeout: 15_000,
  reset: { settle: 10_000 / speed }
}

/** The same pool in this process. */
export const layer = (emulator: Emulator.Service, folder: string, options: Partial<PoolOptions>) =>
  Layer.unwrapEffect(
    Effect.map(
      AirflowResources.settingsOf(emulator, {
        AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`,
        AIRFLOW_RESOURCE_DELIVERY: "none"
      }),
      (settings) => AirflowResources.layer(settings, options)
    )
  )

/** Looks until it is so. */
export const until = <E, R>(what: string, check: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.sleep("20 millis").pipe(
    Effect.zipRight(check),
    Effect.repeat({ until: (isSo) => isSo }),
    Effect.timeoutFailCause({ duration: "2 minutes", onTimeout: () => Cause.die(`in vain: ${what}`) })
  )

/** What processes told of their leases. */
export interface Seen {
  readonly holds: ReadonlyArray<Hold>
  readonly finds: ReadonlyArray<Find>
}

/** Puts the pool to sleep; answers the whole history and all that is wrong with it. */
export const conclude = (emulator: Emulator.Service, max: number, seen: Seen) =>
  Effect.gen(function*() {
    const pool = yield* DeploymentPool
    yield* pool.drain({ timeout: "30 seconds" })
    const [audit, look, events] = yield* Effect.all([emulator.audit, pool.inspect, pool.events()])
    const history: Checker.History = { max, events, audit, ...seen }
    return { history, violations: [...Checker.safety(history), ...Checker.leftovers(look, audit)] }
  })
