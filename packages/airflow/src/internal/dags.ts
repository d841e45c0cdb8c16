/**
 * Waiting until a DAG is live, and the import errors that prevent it.
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
    let problem = "Airflow did not respond"
    const check = Effect.gen(function*() {
      const live = yield* orNone(airflow.liveDag(dagId))
      if (Option.exists(live, ({ tags }) => tag === undefined || tags.includes(tag))) return live
      problem = Option.match(live, {
        onNone: () => "there is no such DAG",
        onSome: ({ tags }) => `it does not have the tag ${tag} (its tags: ${tags.join(", ") || "none"})`
      })
      const errors = yield* importErrorsOf(airflow, dagId, file)
      const current = errors.find(({ timestamp }) =>
        since === undefined || Option.exists(timestamp, DateTime.greaterThanOrEqualTo(since))
      )
      return current === undefined ? Option.none<Dag>() : yield* importFailed(dagId, current)
    }).pipe(
      Effect.catchIf((error) => error._tag === "AirflowApiError" && error.retryable, (error) => {
        problem = error.message
        return Effect.succeedNone
      })
    )
    return yield* Polling.untilSome(check, Polling.poll).pipe(
      Effect.timeoutFail({
        duration: timeout,
        onTimeout: () => new DagNotLive({ dagId, waited: Duration.decode(timeout), problem })
      })
    )
  })

/** The import errors of the file that defines the DAG, or should define it. */
export const importErrorsOf = (
  airflow: Primitives,
  dagId: string,
  file?: string
): Effect.Effect<ReadonlyArray<ImportError>, AirflowApiError> =>
  Effect.gen(function*() {
    const errors = yield* airflow.importErrors
    if (errors.length === 0) return []
    const dag = yield* orNone(airflow.dag(dagId))
    const files = [file ?? `${dagId}.py`, ...Option.toArray(Option.map(dag, ({ fileLocation }) => fileLocation))]
    return errors.filter(({ filename }) => files.some((file) => isSameFile(filename, file)))
  })

/** Airflow rejects a DAG whose file cannot be imported as if it did not exist. Fails with the import error instead. */
export const orImportError =
  (airflow: Primitives, dagId: string) =>
  <A>(request: Effect.Effect<A, AirflowApiError>): Effect.Effect<A, AirflowApiError | DagImportFailed> =>
    Effect.catchIf(
      request,
      ({ detail, kind }) => kind === "notFound" || (kind === "badRequest" && /import error/i.test(detail)),
      (rejection) =>
        Effect.gen(function*() {
          const [error] = yield* Effect.orElseSucceed(importErrorsOf(airflow, dagId), () => [])
          return yield* (error === undefined ? rejection : importFailed(dagId, error))
        })
    )

// internal

const importFailed = (dagId: string, { filename, stackTrace }: ImportError) =>
  new DagImportFailed({ dagId, filename, stackTrace })

const orNone = <A>(request: Effect.Effect<A, AirflowApiError>) =>
  Effect.catchIf(Effect.asSome(request), ({ kind }) => kind === "notFound", () => Effect.succeedNone)

/** Paths may be absolute or relative to their bundle. */
const isSameFile = (one: string, other: string) =>
  one !== "" && other !== "" && (`/${one}`.endsWith(`/${other}`) || `/${other}`.endsWith(`/${one}`))
