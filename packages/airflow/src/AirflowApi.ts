/**
 * Makes clients for Airflows: over HTTP, and in memory.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Airflow, Endpoint } from "./Airflow.js"
import type { AirflowApiError } from "./AirflowError.js"
import * as client from "./internal/client.js"
import * as http from "./internal/http.js"
import * as memory from "./internal/memory.js"
import type * as memoryRuns from "./internal/memoryRuns.js"
import * as PinnedClock from "./PinnedClock.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class AirflowApi extends Context.Tag("@airflow-resource/airflow/AirflowApi")<
  AirflowApi,
  {
    /**
     * Asks an Airflow which one it is, and binds a client to it. Fails while there is none that answers: see
     * {@link AirflowReadiness.awaitConnected}. Connect again after an upgrade.
     */
    readonly connect: (endpoint: Endpoint) => Effect.Effect<Airflow, AirflowApiError>
  }
>() {}

/**
 * Clients of Airflow 2 (`/api/v1`) and 3 (`/api/v2`). Reads, deletions and settings are repeated while that may help; a trigger that
 * was not answered is looked up under its own run id, and repeated under it if it never arrived: one run in any case.
 *
 * @example
 * ```ts
 * import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * export const run = Effect.gen(function*() {
 *   const { connect } = yield* AirflowApi.AirflowApi
 *   const credentials = { _tag: "Password", username: "admin", password: Redacted.make("admin") } as const
 *   const airflow = yield* connect({ baseUrl: "http://127.0.0.1:8080", credentials })
 *   return yield* airflow.runDag("hello_world_dag", { conf: { name: "World" }, timeout: "2 minutes" })
 * }).pipe(Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer)))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<AirflowApi, never, HttpClient.HttpClient> = Layer.effect(
  AirflowApi,
  Effect.gen(function*() {
    const httpClient = yield* HttpClient.HttpClient
    const pin = yield* PinnedClock.pin
    return AirflowApi.of({
      connect: (endpoint) => {
        const baseUrl = endpoint.baseUrl.replace(/\/+$/, "")
        return pin(Effect.map(http.connect(httpClient, { ...endpoint, baseUrl }), (found) => client.make(found, pin)))
      }
    })
  })
)

/**
 * A DAG of {@link layerMemory}, as data.
 *
 * @since 0.1.0
 * @category models
 */
export type MemoryDag = memoryRuns.MemoryDag

/**
 * Options of {@link layerMemory}.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemoryOptions {
  /** Default: `hello_world_dag` with a task `hello` that logs "Hello World from Airflow". */
  readonly dags?: ReadonlyArray<MemoryDag> | undefined
  /** The Airflow that it is like ["2.11.0"]. */
  readonly version?: string | undefined
  /** Whether the Airflow at a base URL accepts requests [always]. */
  readonly isAwake?: ((baseUrl: string) => Effect.Effect<boolean>) | undefined
}

/**
 * One Airflow in memory for each base URL, which keeps its state as long as the layer. Tasks take no time unless they are given some, on the clock that the layer is built under.
 *
 * @example
 * ```ts
 * import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
 *
 * const dags = [{ dagId: "nightly", tasks: [{ taskId: "load", duration: "10 seconds", log: "42 rows" }] }] as const
 *
 * export const offline = AirflowApi.layerMemory({ dags })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory = (options: MemoryOptions = {}): Layer.Layer<AirflowApi> =>
  Layer.effect(
    AirflowApi,
    Effect.gen(function*() {
      const pin = yield* PinnedClock.pin
      const cloud = yield* memory.make(options)
      return AirflowApi.of({
        connect: ({ baseUrl }) => {
          const airflow = cloud(baseUrl)
          return pin(Effect.as(airflow.authenticated, client.make(airflow, pin)))
        }
      })
    })
  )
