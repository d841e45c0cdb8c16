/**
 * Waiting for a DAG to go live, and saying why it does not.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { AwaitDagOptions, Dag, ImportError } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import { DagImportFailed, DagNotLive } from "../AirflowError.js"
import * as Polling from "../Polling.js"
import type { Primitives } from "./primitives.js"

export const awaitDag = (
  airflow: Primitives,
  dagId: string,
  { file, since, tag, timeout = "5 minutes" }: AwaitDagOptions = {}
): Effect.Effect<Dag, AirflowApiError | DagImportFailed | DagNotLive> =>
  Effect.gen(function*() {
    let seen = "nothing answered"
    const look = Effect.gen(function*() {
      const live = yield* orNone(airflow.liveDag(dagId))
      if (Option.exists(live, ({ tags }) => tag === undefined || tags.includes(tag))) return live
      seen = Option.match(live, {
        onNone: () => "there is no such DAG",
        onSome: ({ tags }) => `without the tag ${tag} (its tags: ${tags.join(", ") || "none"})`
      })
      const errors = yield* importErrorsOf(airflow, dagId, file)
      const broken = errors.find(({ timestamp }) =>
        since === undefined || Option.exists(timestamp, DateTime.greaterThanOrEqualTo(since))
      )
      return broken === undefined ? Option.none<Dag>() : yield* failed(dagId, broken)
    }).pipe(
      Effect.catchIf((error) => error._tag === "AirflowApiError" && error.retryable, (error) => {
        seen = error.message
        return Effect.succeedNone
      })
    )
    return yield* Polling.untilSome(look, Polling.poll).pipe(
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => new DagNotLive({ dagId, waited: Duration.decode(timeout), seen })
      })
    )
  })

/** The import errors of the file where the DAG is, or should be. */
export const importErrorsOf = (
  airflow: Primitives,
  dagId: string,
  file?: string
): Effect.Effect<ReadonlyArray<ImportError>, AirflowApiError> =>
  Effect.gen(function*() {
    const errors = yield* airflow.importErrors
    if (errors.length === 0) return []
    const known = yield* orNone(airflow.dag(dagId))
    const files = [file ?? `${dagId}.py`, ...Option.toArray(Option.map(known, ({ fileLocation }) => fileLocation))]
    return errors.filter(({ filename }) => files.some((file) => isSameFile(filename, file)))
  })

/** A DAG whose file broke is refused as if it were not there; its import error says more. */
export const failWhereBroken =
  (airflow: Primitives, dagId: string) =>
  <A>(call: Effect.Effect<A, AirflowApiError>): Effect.Effect<A, AirflowApiError | DagImportFailed> =>
    Effect.catchIf(
      call,
      ({ detail, kind }) => kind === "notFound" || (kind === "badRequest" && /import error/i.test(detail)),
      (refusal) =>
        Effect.gen(function*() {
          const [broken] = yield* Effect.orElseSucceed(importErrorsOf(airflow, dagId), () => [])
          return yield* (broken === undefined ? refusal : failed(dagId, broken))
        })
    )

// internal

const failed = (dagId: string, { filename, stackTrace }: ImportError) =>
  new DagImportFailed({ dagId, filename, stackTrace })

const orNone = <A>(call: Effect.Effect<A, AirflowApiError>) =>
  Effect.catchIf(Effect.asSome(call), ({ kind }) => kind === "notFound", () => Effect.succeedNone)

/** Some paths are whole, some begin in their bundle. */
const isSameFile = (one: string, other: string) =>
  one !== "" && other !== "" && (`/${one}`.endsWith(`/${other}`) || `/${other}`.endsWith(`/${one}`))
