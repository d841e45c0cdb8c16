/**
 * What "Airflow is ready" means: its parts are healthy, its heartbeat is fresh, and it answers with our credentials.
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
import * as Polling from "./Polling.js"

/**
 * Polls until a client's Airflow is ready, through whatever an ingress answers while a deployment wakes. Credentials that are
 * refused for 30 seconds end it early.
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
  airflow: Watched,
  options: ReadyOptions = {}
): Effect.Effect<void, AirflowNotReady> =>
  Effect.asVoid(awaitConnected(airflow.baseUrl, Effect.succeed(airflow), options))

/**
 * The same before there is a client, since an Airflow that does not answer cannot say which one it is.
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
export const awaitConnected = <A extends Watched>(
  baseUrl: string,
  connect: Effect.Effect<A, AirflowApiError>,
  options: ReadyOptions = {}
): Effect.Effect<A, AirflowNotReady> =>
  Effect.gen(function*() {
    const timeout = Duration.decode(options.timeout ?? "5 minutes")
    const startedAt = yield* Clock.currentTimeMillis
    let connected: A | undefined
    let answers: ReadonlyArray<string> = []
    let stable = 0
    let refusedSince: number | undefined
    const notReady = Effect.map(
      Clock.currentTimeMillis,
      (now) =>
        new AirflowNotReady({
          baseUrl,
          waited: Duration.millis(now - startedAt),
          answers: answers.length === 0 ? ["nothing"] : answers
        })
    )
    const see = (answer: string) => {
      stable = 0
      // the last distinct ones, however they alternate
      answers = [...answers.filter((earlier) => earlier !== answer), answer].slice(-5)
      return Option.none<A>()
    }

    const look = Effect.gen(function*() {
      const airflow = connected ?? (yield* connect)
      connected = airflow
      const complaint = complain(yield* airflow.health, options)
      if (complaint !== undefined) return see(complaint)
      yield* airflow.authenticated
      refusedSince = undefined
      stable += 1
      return stable >= (options.stablePolls ?? 2) ? Option.some(airflow) : Option.none<A>()
    }).pipe(
      Effect.catchAll((error: AirflowApiError) =>
        Effect.gen(function*() {
          see(error.detail)
          const now = yield* Clock.currentTimeMillis
          const refused = error.kind === "unauthorized" || error.kind === "forbidden"
          refusedSince = refused ? refusedSince ?? now : undefined
          const hopeless = error.kind === "unsupported" ||
            (refusedSince !== undefined && now - refusedSince >= patience)
          return hopeless ? yield* Effect.flatMap(notReady, Effect.fail) : Option.none<A>()
        })
      )
    )
    return yield* Polling.untilSome(look, Polling.poll).pipe(
      Effect.timeoutOption(timeout),
      Effect.flatMap(Option.match({ onNone: () => Effect.flatMap(notReady, Effect.fail), onSome: Effect.succeed }))
    )
  })

// internal

type Watched = Pick<Airflow, "baseUrl" | "health" | "authenticated">

/** A new token may need a moment before everything in front of Airflow knows it. */
const patience = 30_000

/** Clocks of two machines differ. */
const skew = Duration.seconds(30)

const complain = (
  { dagProcessor, metadatabase, scheduler, triggerer }: Health,
  { ignoreDagProcessor = false, needsTriggerer = false, since }: ReadyOptions
) => {
  if (metadatabase !== "healthy") return `the metadatabase is ${metadatabase}`
  if (scheduler.status !== "healthy") return `the scheduler is ${scheduler.status}`
  // Airflow 2 has none unless it is run by itself
  if (!ignoreDagProcessor && Option.isSome(dagProcessor) && dagProcessor.value.status !== "healthy") {
    return `the DAG processor is ${dagProcessor.value.status}`
  }
  const waiting = Option.match(triggerer, { onNone: () => "not up yet", onSome: ({ status }) => status })
  if (waiting !== "healthy" && (needsTriggerer || Option.isSome(triggerer))) return `the triggerer is ${waiting}`
  if (since === undefined) return undefined
  const fresh = Option.exists(scheduler.heartbeat, DateTime.greaterThan(DateTime.subtractDuration(since, skew)))
  return fresh ? undefined : "the scheduler's heartbeat is from before the deployment was woken"
}
