/**
 * Emptying an Airflow and verifying that it is empty: it has no runs, variables or connections, no pools except
 * `default_pool`, and every DAG is paused.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Airflow, Dag } from "./Airflow.js"
import type { AirflowApiError } from "./AirflowError.js"
import { defaultPool } from "./internal/primitives.js"
import { airflowAttributes, callSite } from "./internal/tracing.js"

/**
 * Something that an empty Airflow would not have. `name` completes `kind`: "queued events of" a DAG, "slots of" a pool.
 *
 * @since 0.1.0
 * @category models
 */
export const Leftover = Schema.Struct({
  kind: Schema.Literal("unpaused DAG", "run", "queued events of", "variable", "connection", "pool", "slots of"),
  name: Schema.String
})

/**
 * Something that an empty Airflow would not have.
 *
 * @since 0.1.0
 * @category models
 */
export type Leftover = typeof Leftover.Type

/**
 * What a reset does not touch: names, or prefixes that end in `*`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keep {
  readonly variables?: ReadonlyArray<string> | undefined
  readonly connections?: ReadonlyArray<string> | undefined
  readonly pools?: ReadonlyArray<string> | undefined
}

/**
 * Options of a reset and of its verification. Default values are in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResetOptions {
  readonly keep?: Keep | undefined
  /** The slots of `default_pool` [128, as in a new Airflow]. */
  readonly defaultPoolSlots?: number | undefined
  /** How long to wait after ending running tasks, which may continue until their next heartbeat [10 seconds]. */
  readonly settle?: Duration.DurationInput | undefined
  /** The limit for the whole reset [5 minutes]. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * What a reset deleted or changed, and what it kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResetReport {
  readonly deleted: ReadonlyArray<Leftover>
  readonly kept: ReadonlyArray<Leftover>
}

/**
 * An Airflow is not empty after a reset.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResetIncomplete extends Schema.TaggedError<ResetIncomplete>("@airflow-resource/airflow/ResetIncomplete")(
  "ResetIncomplete",
  { leftovers: Schema.Array(Leftover) }
) {
  override get message(): string {
    const leftovers = this.leftovers.slice(0, 20).map(({ kind, name }) => `${kind} ${name}`).join(", ")
    return `Airflow is not empty after a reset: ${leftovers}${this.leftovers.length > 20 ? ", …" : ""}. ` +
      `Either something still creates them, or Airflow's API cannot delete them: try Airflow's UI or CLI.`
  }
  readonly retryable = false
}

/**
 * Returns everything that an empty Airflow would not have. Changes nothing.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
 * import * as Effect from "effect/Effect"
 *
 * export const isEmpty = (airflow: Airflow) => Effect.map(AirflowReset.verify(airflow), (left) => left.length === 0)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const verify = (
  airflow: Airflow,
  options: ResetOptions = {}
): Effect.Effect<ReadonlyArray<Leftover>, AirflowApiError> =>
  Effect.map(inspect(airflow, options), ({ contents }) => leftoversOf(contents)).pipe(
    Effect.withSpan("AirflowReset.verify", { attributes: airflowAttributes(airflow), captureStackTrace: callSite() })
  )

/**
 * Empties an Airflow: deletes what it contains, then inspects it again, up to three times, in case something was
 * created meanwhile. Fails with `ResetIncomplete` if it is not empty then, or at the timeout. Runs are deleted but DAGs
 * are only paused: a DAG reappears as long as its file exists, and deleting it can kill the DAG processor. What no API
 * can delete (the audit log, log files of deleted runs) stays; it cannot affect runs with new ids.
 *
 * @example
 * ```ts
 * import type { Airflow } from "@airflow-resource/airflow/Airflow"
 * import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
 *
 * export const empty = (airflow: Airflow) =>
 *   AirflowReset.reset(airflow, { keep: { variables: ["shared_*"], connections: ["warehouse"] } })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const reset = (
  airflow: Airflow,
  options: ResetOptions = {}
): Effect.Effect<ResetReport, AirflowApiError | ResetIncomplete> =>
  Effect.gen(function*() {
    const { settle = "10 seconds", timeout = "5 minutes" } = options
    const deleted = new Map<string, Leftover>()
    let leftovers: ReadonlyArray<Leftover> = []
    const rounds = Effect.gen(function*() {
      for (let remainingRounds = 3;; remainingRounds--) {
        const { contents, kept } = yield* inspect(airflow, options)
        leftovers = leftoversOf(contents)
        if (leftovers.length === 0) return { deleted: Array.from(deleted.values()), kept }
        if (remainingRounds === 0) return yield* new ResetIncomplete({ leftovers })
        for (const leftover of leftovers) deleted.set(`${leftover.kind} ${leftover.name}`, leftover)
        yield* deleteContents(airflow, contents, options)
        if (contents.runs.some(({ state }) => state === "running")) yield* Effect.sleep(settle)
      }
    })
    return yield* Effect.timeoutFail(rounds, {
      duration: timeout,
      onTimeout: () => new ResetIncomplete({ leftovers })
    })
  }).pipe(
    Effect.withSpan("AirflowReset.reset", { attributes: airflowAttributes(airflow), captureStackTrace: callSite() })
  )

/**
 * Parses a `Keep` from text such as `variables:shared_*, connections:warehouse, pools:etl`.
 *
 * @example
 * ```ts
 * import * as AirflowReset from "@airflow-resource/airflow/AirflowReset"
 *
 * export const keep = AirflowReset.parseKeep("variables:shared_*, variables:region")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseKeep = (text: string): Either.Either<Keep, string> => {
  const keep: Record<keyof Keep, Array<string>> = { variables: [], connections: [], pools: [] }
  for (const entry of text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "")) {
    const [, kind, name] = /^(variables|connections|pools):(.+)$/.exec(entry) ?? []
    if (name === undefined) {
      return Either.left(`${JSON.stringify(entry)} is not like variables:NAME, connections:NAME or pools:NAME`)
    }
    keep[kind as keyof Keep].push(name.trim())
  }
  return Either.right(keep)
}

// internal

/** Reads what a reset has to delete or change, and what it keeps. */
const inspect = (airflow: Airflow, { defaultPoolSlots = 128, keep = {} }: ResetOptions) =>
  Effect.map(
    Effect.all({
      dagsAndEvents: Effect.flatMap(airflow.dags, (dags) =>
        Effect.map(dagsWithQueuedEvents(airflow, dags), (withEvents) => ({ dags, withEvents }))),
      runs: airflow.runs(),
      variables: airflow.variables.list,
      connections: airflow.connections.list,
      pools: airflow.pools.list
    }, { concurrency: 4 }),
    ({ connections, dagsAndEvents: { dags, withEvents }, pools, runs, variables }) => {
      const [keptVariables, variableKeys] = partition(
        variables.map(({ key }) =>
          key
        ),
        keep.variables
      )
      const [keptConnections, connectionIds] = partition(connections.map(({ id }) => id), keep.connections)
      const otherPools = pools.map(({ name }) => name).filter((name) => name !== defaultPool)
      const [keptPools, poolNames] = partition(otherPools, keep.pools)
      const kept: ReadonlyArray<Leftover> = [
        ...keptVariables.map((name) => ({ kind: "variable" as const, name })),
        ...keptConnections.map((name) => ({ kind: "connection" as const, name })),
        ...keptPools.map((name) => ({ kind: "pool" as const, name }))
      ]
      // inactive DAGs count too: an unpaused one would start if its file came back
      const unpaused = dags.filter(({ isPaused }) => !isPaused)
      // the default pool is missing or has other slots
      const isResized = pools.every(({ name, slots }) => name !== defaultPool || slots !== defaultPoolSlots)
      return { kept, contents: { unpaused, runs, withEvents, variableKeys, connectionIds, poolNames, isResized } }
    }
  )

/** Ids of DAGs that have some of the events they need to start: the first event of the next test could start them. */
const dagsWithQueuedEvents = (airflow: Airflow, dags: ReadonlyArray<Dag>) => {
  const startedByEvents = dags.filter(({ timetable }) => /dataset|asset/i.test(timetable)).map(({ dagId }) => dagId)
  return Effect.filter(startedByEvents, (dagId) => Effect.map(airflow.queuedEvents(dagId), (count) => count > 0), {
    concurrency: 4
  })
}

type Contents = Effect.Effect.Success<ReturnType<typeof inspect>>["contents"]

const leftoversOf = ({
  connectionIds,
  isResized,
  poolNames,
  runs,
  unpaused,
  variableKeys,
  withEvents
}: Contents) => [
  ...unpaused.map(({ dagId }): Leftover => ({ kind: "unpaused DAG", name: dagId })),
  ...runs.map(({ dagId, runId }): Leftover => ({ kind: "run", name: `${dagId}/${runId}` })),
  ...withEvents.map((name): Leftover => ({ kind: "queued events of", name })),
  ...variableKeys.map((name): Leftover => ({ kind: "variable", name })),
  ...connectionIds.map((name): Leftover => ({ kind: "connection", name })),
  ...poolNames.map((name): Leftover => ({ kind: "pool", name })),
  ...(isResized ? [{ kind: "slots of" as const, name: defaultPool }] : [])
]

/** Pauses the DAGs first, so that nothing new starts, and ends runs before it deletes them, so that no task continues. */
const deleteContents = (airflow: Airflow, contents: Contents, { defaultPoolSlots = 128 }: ResetOptions) =>
  Effect.gen(function*() {
    yield* airflow.pauseAll
    const each = <A>(items: ReadonlyArray<A>, f: (item: A) => Effect.Effect<void, AirflowApiError>) =>
      Effect.forEach(items, f, { concurrency: 4, discard: true })
    const active = contents.runs.filter(({ state }) => state === "queued" || state === "running")
    yield* each(active, ({ dagId, runId }) =>
      Effect.catchIf(
        airflow.setRunState(dagId, runId, "failed"),
        // the run has ended or was deleted meanwhile
        ({ kind }) => kind === "notFound" || kind === "conflict",
        () => Effect.void
      ))
    yield* each(contents.runs, ({ dagId, runId }) => airflow.deleteRun(dagId, runId))
    yield* each(contents.withEvents, airflow.deleteQueuedEvents)
    yield* deleteAll(airflow.variables, contents.variableKeys)
    yield* deleteAll(airflow.connections, contents.connectionIds)
    yield* deleteAll(airflow.pools, contents.poolNames)
    if (contents.isResized) yield* airflow.pools.put({ name: defaultPool, slots: defaultPoolSlots })
  })

/** One item that the API cannot delete must not keep the others from being deleted. The next round finds it again. */
const deleteAll = (
  collection: Pick<Airflow["pools"], "delete" | "deleteAll">,
  names: ReadonlyArray<string>
) =>
  names.length === 0
    ? Effect.void
    : Effect.catchIf(
      collection.deleteAll(names),
      isRejection,
      () =>
        Effect.forEach(names, (name) => Effect.catchIf(collection.delete(name), isRejection, () => Effect.void), {
          concurrency: 4,
          discard: true
        })
    )

const isRejection = ({ kind }: AirflowApiError) => kind === "unsupported" || kind === "badRequest"

/** The names that match one of the patterns, and the others. */
const partition = (names: ReadonlyArray<string>, patterns: ReadonlyArray<string> = []) =>
  Arr.partition(
    names,
    (name) =>
      !patterns.some((pattern) => pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern)
  )
