/**
 * Clients for Airflow, over HTTP or in memory.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as Layer from "effect/Layer"
import type { Airflow, Endpoint } from "./Airflow.js"
import type { AirflowApiError } from "./AirflowError.js"
import { callSite } from "./CallSite.js"
import * as client from "./internal/client.js"
import * as http from "./internal/http.js"
import * as memory from "./internal/memory.js"
import type * as memoryRuns from "./internal/memoryRuns.js"
import type { Primitives } from "./internal/primitives.js"
import type { Pin } from "./internal/tracing.js"
import { withoutCredentials } from "./internal/url.js"
import * as PinnedClock from "./PinnedClock.js"

/**
 * Connects to Airflows.
 *
 * @since 0.1.0
 * @category tags
 */
export class AirflowApi extends Context.Tag("@airflow-resource/airflow/AirflowApi")<
  AirflowApi,
  {
    /**
     * Reads the version of an Airflow and returns a client for it. Fails if Airflow does not respond: to wait for it,
     * use {@link AirflowReadiness.awaitConnected}. Connect again after an upgrade of Airflow.
     */
    readonly connect: (endpoint: Endpoint) => Effect.Effect<Airflow, AirflowApiError>
  }
>() {}

/**
 * Clients over HTTP for Airflow 2 (`/api/v1`) and Airflow 3 (`/api/v2`). Requests that are safe to send twice are
 * retried. If the response to a trigger is lost, the client checks whether the run exists and retries if not, so that
 * there is exactly one run.
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
        return connect(baseUrl, http.connect(httpClient, { ...endpoint, baseUrl }), pin, callSite())
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
export type MemoryOptions = memory.Options

/**
 * Clients for Airflows in memory: one for each base URL. An Airflow keeps its state for the lifetime of the layer.
 * Tasks take no time unless they have a duration, which passes on the clock that the layer is built under.
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
      const airflowAt = yield* memory.make(options)
      return AirflowApi.of({
        connect: ({ baseUrl }) => {
          const primitives = airflowAt(baseUrl)
          return connect(baseUrl, Effect.as(primitives.authenticated, primitives), pin, callSite())
        }
      })
    })
  )

// internal

const connect = (
  baseUrl: string,
  primitives: Effect.Effect<Primitives, AirflowApiError>,
  pin: Pin,
  captureStackTrace: LazyArg<string | undefined>
): Effect.Effect<Airflow, AirflowApiError> =>
  primitives.pipe(
    Effect.tap(({ version }) => Effect.annotateCurrentSpan("airflow.version", version.full)),
    Effect.map((primitives) => client.make(primitives, pin)),
    Effect.withSpan("AirflowApi.connect", {
      attributes: { "airflow.url": withoutCredentials(baseUrl) },
      captureStackTrace
    }),
    pin
  )
