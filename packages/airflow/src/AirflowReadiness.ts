/**
 * Waiting until an Airflow is ready: its components are healthy, its scheduler has a recent heartbeat, and it accepts
 * the client's credentials.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Airflow, Health, ReadyOptions } from "./Airflow.js"
import type { AirflowApiError } from "./AirflowError.js"
import { AirflowNotReady } from "./AirflowError.js"
import { callSite } from "./CallSite.js"
import { airflowAttributes } from "./internal/tracing.js"
import { withoutCredentials } from "./internal/url.js"
import * as Polling from "./Polling.js"

/**
 * Polls until an Airflow is ready. Error responses, such as a proxy's while Airflow starts, count as "not ready yet".
 * Fails with `AirflowNotReady` at the timeout, after 30 seconds if Airflow keeps rejecting the credentials, or at once if
 * the server is neither Airflow 2 nor 3.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as AirflowReadiness from "@airflow-resource/airflow/AirflowReadiness"
 *
 * export const ready = (airflow: Airflow) => AirflowReadiness.awaitReady(airflow, { timeout: "2 minutes" })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const awaitReady = (
  airflow: ReadinessClient,
  options: ReadyOptions = {}
): Effect.Effect<void, AirflowNotReady> =>
  pollUntilReady(airflow.baseUrl, Effect.succeed(airflow), options).pipe(
    Effect.asVoid,
    Effect.withSpan("AirflowReadiness.awaitReady", {
      attributes: airflowAttributes(airflow),
      captureStackTrace: callSite()
    })
  )

/**
 * Connects to an Airflow as soon as it responds, polls until it is ready, and returns the client. Otherwise the same as
 * {@link awaitReady}.
 *
 * @example
 * ```ts
 * import type { Endpoint } from "@airflow-resource/airflow/Airflow"
 * import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
 * import * as AirflowReadiness from "@airflow-resource/airflow/AirflowReadiness"
 * import * as Effect from "effect/Effect"
 *
 * export const client = (endpoint: Endpoint) =>
 *   Effect.flatMap(AirflowApi.AirflowApi, ({ connect }) =>
 *     AirflowReadiness.awaitConnected(endpoint.baseUrl, connect(endpoint), { timeout: "2 minutes" }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const awaitConnected = <A extends ReadinessClient>(
  baseUrl: string,
  connect: Effect.Effect<A, AirflowApiError>,
  options: ReadyOptions = {}
): Effect.Effect<A, AirflowNotReady> =>
  pollUntilReady(baseUrl, connect, options).pipe(
    Effect.tap(({ version }) => Effect.annotateCurrentSpan("airflow.version", version.full)),
    Effect.withSpan("AirflowReadiness.awaitConnected", {
      attributes: { "airflow.url": withoutCredentials(baseUrl) },
      captureStackTrace: callSite()
    })
  )

// internal

type ReadinessClient = Pick<Airflow, "baseUrl" | "version" | "health" | "authenticated">

/** A proxy in front of Airflow may need a moment before it accepts a new token. */
const rejectionLimit = Duration.seconds(30)

/** How much the clocks of two machines may differ. */
const clockSkew = Duration.seconds(30)

const pollUntilReady = <A extends ReadinessClient>(
  baseUrl: string,
  connect: Effect.Effect<A, AirflowApiError>,
  options: ReadyOptions
): Effect.Effect<A, AirflowNotReady> =>
  Effect.gen(function*() {
    const timeout = Duration.decode(options.timeout ?? "5 minutes")
    const startedAt = yield* Clock.currentTimeMillis
    let connected: A | undefined
    let problems: ReadonlyArray<string> = []
    let readyPolls = 0
    let rejectedSince: number | undefined
    const notReady = Effect.map(
      Clock.currentTimeMillis,
      (now) =>
        new AirflowNotReady({
          baseUrl: withoutCredentials(baseUrl),
          waited: Duration.millis(now - startedAt),
          problems: problems.length === 0 ? ["no response"] : problems,
          isRejected: rejectedSince !== undefined
        })
    )
    const report = (problem: string) => {
      readyPolls = 0
      // keep the last distinct ones, even if they alternate
      problems = [...problems.filter((earlier) => earlier !== problem), problem].slice(-5)
      return Option.none<A>()
    }

    const check = Effect.gen(function*() {
      const airflow = connected ?? (yield* connect)
      connected = airflow
      const problem = problemOf(yield* airflow.health, options)
      if (problem !== undefined) return report(problem)
      yield* airflow.authenticated
      rejectedSince = undefined
      readyPolls += 1
      return readyPolls >= (options.stablePolls ?? 2) ? Option.some(airflow) : Option.none<A>()
    }).pipe(
      Effect.catchAll((error: AirflowApiError) =>
        Effect.gen(function*() {
          report(error.detail)
          const now = yield* Clock.currentTimeMillis
          const isRejected = error.kind === "unauthorized" || error.kind === "forbidden"
          rejectedSince = isRejected ? rejectedSince ?? now : undefined
          const isPermanent = error.kind === "unsupported" ||
            (rejectedSince !== undefined && now - rejectedSince >= Duration.toMillis(rejectionLimit))
          return isPermanent ? yield* Effect.flatMap(notReady, Effect.fail) : Option.none<A>()
        })
      ),
      // a wait is one span, however often it polls
      Effect.withTracerEnabled(false)
    )
    return yield* Polling.untilSome(check, Polling.poll).pipe(
      Effect.timeoutOption(timeout),
      Effect.flatMap(Option.match({ onNone: () => Effect.flatMap(notReady, Effect.fail), onSome: Effect.succeed }))
    )
  })

/** Why an Airflow with this health is not ready, or `undefined` if it is. */
const problemOf = (
  { dagProcessor, metadatabase, scheduler, triggerer }: Health,
  { ignoreDagProcessor = false, needsTriggerer = false, since }: ReadyOptions
) => {
  if (metadatabase !== "healthy") return `the metadatabase is ${metadatabase}`
  if (scheduler.status !== "healthy") return `the scheduler is ${scheduler.status}`
  // Airflow 2 reports one only if it runs as a separate process
  if (!ignoreDagProcessor && Option.isSome(dagProcessor) && dagProcessor.value.status !== "healthy") {
    return `the DAG processor is ${dagProcessor.value.status}`
  }
  const triggererStatus = Option.match(triggerer, { onNone: () => "not up yet", onSome: ({ status }) => status })
  if (triggererStatus !== "healthy" && (needsTriggerer || Option.isSome(triggerer))) {
    return `the triggerer is ${triggererStatus}`
  }
  if (since === undefined) return undefined
  const isRecent = Option.exists(
    scheduler.heartbeat,
    DateTime.greaterThan(DateTime.subtractDuration(since, clockSkew))
  )
  return isRecent ? undefined : `the scheduler has had no heartbeat since ${DateTime.formatIso(since)}`
}
