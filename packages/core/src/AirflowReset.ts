/**
 * Making an Airflow empty again, and proving it: no runs, variables, connections, or pools but `default_pool`; every DAG paused.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Airflow, AirflowApiError } from "./Airflow.js"

/**
 * @since 0.1.0
 * @category models
 */
export const Leftover = Schema.Struct({
  kind: Schema.Literal("unpaused DAG", "run", "variable", "connection", "pool", "slots of"),
  name: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Leftover = typeof Leftover.Type

/**
 * Something is there after everything was removed.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResetIncomplete extends Schema.TaggedError<ResetIncomplete>("@airflow-resource/core/ResetIncomplete")(
  "ResetIncomplete",
  { leftovers: Schema.Array(Leftover) }
) {
  override get message(): string {
    const what = this.leftovers.map(({ kind, name }) => `${kind} ${name}`).join(", ")
    return `Airflow is not empty after a reset: ${what}. Something still writes to it, or its API cannot remove this.`
  }
  readonly retryable = false
}

/**
 * How many slots `default_pool` has in an Airflow that nobody has touched.
 *
 * @since 0.1.0
 * @category models
 */
export const defaultPoolSlots = 128

/**
 * Everything that an empty Airflow would not have.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/core/Airflow"
 * import * as AirflowReset from "@airflow-resource/core/AirflowReset"
 * import * as Effect from "effect/Effect"
 *
 * export const isEmpty = (airflow: Airflow) => Effect.map(AirflowReset.verify(airflow), (left) => left.length === 0)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const verify = (airflow: Airflow): Effect.Effect<ReadonlyArray<Leftover>, AirflowApiError> =>
  Effect.map(inspect(airflow), ({ connections, dags, pools, runs, variables }) => [
    ...dags.map(({ dagId }): Leftover => ({ kind: "unpaused DAG", name: dagId })),
    ...runs.map(({ dagId, runId }): Leftover => ({ kind: "run", name: `${dagId}/${runId}` })),
    ...variables.map((name): Leftover => ({ kind: "variable", name })),
    ...connections.map((name): Leftover => ({ kind: "connection", name })),
    ...pools.map(({ name }): Leftover => name === "default_pool" ? { kind: "slots of", name } : { kind: "pool", name })
  ])

/**
 * Removes what is there and reads everything again, twice at most: what was made in between is removed the second time. Answers
 * what was removed. Runs are deleted and not DAGs: a DAG whose file stays comes back, and deleting it can kill a DAG processor.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/core/Airflow"
 * import * as AirflowReset from "@airflow-resource/core/AirflowReset"
 *
 * export const empty = (airflow: Airflow) => AirflowReset.reset(airflow)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const reset = (
  airflow: Airflow
): Effect.Effect<ReadonlyArray<Leftover>, AirflowApiError | ResetIncomplete> =>
  Effect.gen(function*() {
    const removed = yield* verify(airflow)
    yield* sweep(airflow)
    if ((yield* verify(airflow)).length === 0) return removed
    yield* sweep(airflow)
    const leftovers = yield* verify(airflow)
    return leftovers.length === 0 ? removed : yield* new ResetIncomplete({ leftovers })
  })

// internal

/** What is there and should not be, all of it read anew. */
const inspect = (airflow: Airflow) =>
  Effect.all({
    dags: Effect.map(airflow.dags, (dags) => dags.filter((dag) => dag.isActive && !dag.isPaused)),
    runs: airflow.runs(),
    variables: airflow.variables,
    connections: airflow.connections,
    pools: Effect.map(
      airflow.pools,
      (pools) => pools.filter(({ name, slots }) => name !== "default_pool" || slots !== defaultPoolSlots)
    )
  }, { concurrency: 4 })

/** Paused first, so that nothing starts again; ended before they are deleted, so that no task keeps running. */
const sweep = (airflow: Airflow) =>
  Effect.gen(function*() {
    yield* airflow.pauseAll
    const { connections, dags, pools, runs, variables } = yield* inspect(airflow)
    const each = <A>(items: ReadonlyArray<A>, f: (item: A) => Effect.Effect<void, AirflowApiError>) =>
      Effect.forEach(items, f, { concurrency: 4, discard: true })
    // one call pauses a page of DAGs; these are the others
    yield* each(dags, ({ dagId }) => airflow.setPaused(dagId, true))
    const live = runs.filter(({ state }) => state === "queued" || state === "running")
    yield* each(live, ({ dagId, runId }) =>
      Effect.catchIf(
        airflow.setRunState(dagId, runId, "failed"),
        // it has ended, or gone, by itself
        (error) => error.kind === "notFound" || error.kind === "conflict",
        () => Effect.void
      ))
    yield* each(runs, ({ dagId, runId }) => airflow.deleteRun(dagId, runId))
    yield* each(variables, airflow.deleteVariable)
    yield* each(connections, airflow.deleteConnection)
    yield* each(pools, ({ name }) =>
      name === "default_pool" ? airflow.setPoolSlots(name, defaultPoolSlots) : airflow.deletePool(name))
  })
