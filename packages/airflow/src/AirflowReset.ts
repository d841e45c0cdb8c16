/**
 * Making an Airflow empty again, and proving it: no runs, variables, connections, or pools but `default_pool`; every DAG paused.
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

/**
 * @since 0.1.0
 * @category models
 */
export const Leftover = Schema.Struct({
  kind: Schema.Literal("unpaused DAG", "run", "queued events of", "variable", "connection", "pool", "slots of"),
  name: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Leftover = typeof Leftover.Type

/**
 * What belongs to the Airflow and not to a test: names, or their beginnings before a `*`. It is left as it is, whoever changed it.
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
 * @since 0.1.0
 * @category models
 */
export interface ResetOptions {
  readonly keep?: Keep | undefined
  /** What `default_pool` is set to [128, as in an Airflow that nobody has touched]. */
  readonly defaultPoolSlots?: number | undefined
  /** How long a task that was ended may go on writing: its process learns of its end at its next heartbeat [10 seconds]. */
  readonly settle?: Duration.DurationInput | undefined
  /** For all of it [5 minutes]. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ResetReport {
  readonly removed: ReadonlyArray<Leftover>
  readonly kept: ReadonlyArray<Leftover>
}

/**
 * Something is there after everything was removed.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResetIncomplete extends Schema.TaggedError<ResetIncomplete>("@airflow-resource/airflow/ResetIncomplete")(
  "ResetIncomplete",
  { leftovers: Schema.Array(Leftover) }
) {
  override get message(): string {
    const what = this.leftovers.slice(0, 20).map(({ kind, name }) => `${kind} ${name}`).join(", ")
    return `Airflow is not empty after a reset: ${what}${this.leftovers.length > 20 ? ", …" : ""}. ` +
      `Something still writes to it, or its API cannot remove this: a lease gets another deployment in its place.`
  }
  readonly retryable = false
}

/**
 * Everything that an empty Airflow would not have.
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
  Effect.map(inspect(airflow, options), ({ found }) => leftoversOf(found))

/**
 * Removes what is there and reads everything again, three times at most: what was made in between goes in the next round. Runs are
 * deleted and not DAGs: a DAG whose file stays comes back, and deleting it can kill a DAG processor. What no API removes (the
 * audit log, log files of deleted runs) is not looked at, and does no harm to runs with ids of their own.
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
    const removed = new Map<string, Leftover>()
    let leftovers: ReadonlyArray<Leftover> = []
    const rounds = Effect.gen(function*() {
      for (let left = 3;; left--) {
        const { found, kept } = yield* inspect(airflow, options)
        leftovers = leftoversOf(found)
        if (leftovers.length === 0) return { removed: Array.from(removed.values()), kept }
        if (left === 0) return yield* new ResetIncomplete({ leftovers })
        for (const leftover of leftovers) removed.set(`${leftover.kind} ${leftover.name}`, leftover)
        yield* sweep(airflow, found, options)
        if (found.runs.some(({ state }) => state === "running")) yield* Effect.sleep(settle)
      }
    })
    return yield* Effect.timeoutFail(rounds, {
      duration: timeout,
      onTimeout: () => new ResetIncomplete({ leftovers })
    })
  })

/**
 * What a Keep in words is: `variables:shared_*, connections:warehouse, pools:etl`.
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

const defaultPool = "default_pool"

/** What is there and should not be, all of it read anew; and what may stay. */
const inspect = (airflow: Airflow, { defaultPoolSlots = 128, keep = {} }: ResetOptions) =>
  Effect.map(
    Effect.all({
      scheduled: Effect.flatMap(airflow.dags, (dags) =>
        Effect.map(waitingForEvents(airflow, dags), (waiting) => ({ dags, waiting }))),
      runs: airflow.runs(),
      variables: airflow.variables.list,
      connections: airflow.connections.list,
      pools: airflow.pools.list
    }, { concurrency: 4 }),
    ({ connections, pools, runs, scheduled: { dags, waiting }, variables }) => {
      const ours = pools.filter(({ name }) =>
        name !== defaultPool
      )
      const [keptVariables, variableKeys] = split(variables.map(({ key }) => key), keep.variables)
      const [keptConnections, connectionIds] = split(connections.map(({ id }) => id), keep.connections)
      const [keptPools, poolNames] = split(ours.map(({ name }) => name), keep.pools)
      const kept: ReadonlyArray<Leftover> = [
        ...keptVariables.map((name) => ({ kind: "variable" as const, name })),
        ...keptConnections.map((name) => ({ kind: "connection" as const, name })),
        ...keptPools.map((name) => ({ kind: "pool" as const, name }))
      ]
      // one that is gone counts too: its pause would come back with its file
      const unpaused = dags.filter(({ isPaused }) => !isPaused)
      // whether it has other slots, or is gone
      const isResized = pools.every(({ name, slots }) => name !== defaultPool || slots !== defaultPoolSlots)
      return { kept, found: { unpaused, runs, waiting, variableKeys, connectionIds, poolNames, isResized } }
    }
  )

/** DAGs that some of their datasets or assets have called for: the next test's first event could start them. */
const waitingForEvents = (airflow: Airflow, dags: ReadonlyArray<Dag>) => {
  const byEvents = dags.filter(({ timetable }) => /dataset|asset/i.test(timetable)).map(({ dagId }) => dagId)
  return Effect.filter(byEvents, (dagId) => Effect.map(airflow.queuedEvents(dagId), (count) => count > 0), {
    concurrency: 4
  })
}

type Found = Effect.Effect.Success<ReturnType<typeof inspect>>["found"]

const leftoversOf = ({ connectionIds, isResized, poolNames, runs, unpaused, variableKeys, waiting }: Found) => [
  ...unpaused.map(({ dagId }): Leftover => ({ kind: "unpaused DAG", name: dagId })),
  ...runs.map(({ dagId, runId }): Leftover => ({ kind: "run", name: `${dagId}/${runId}` })),
  ...waiting.map((name): Leftover => ({ kind: "queued events of", name })),
  ...variableKeys.map((name): Leftover => ({ kind: "variable", name })),
  ...connectionIds.map((name): Leftover => ({ kind: "connection", name })),
  ...poolNames.map((name): Leftover => ({ kind: "pool", name })),
  ...(isResized ? [{ kind: "slots of" as const, name: defaultPool }] : [])
]

/** Paused first, so that nothing starts again; ended before they are deleted, so that no task keeps running. */
const sweep = (airflow: Airflow, found: Found, { defaultPoolSlots = 128 }: ResetOptions) =>
  Effect.gen(function*() {
    yield* airflow.pauseAll
    const each = <A>(items: ReadonlyArray<A>, f: (item: A) => Effect.Effect<void, AirflowApiError>) =>
      Effect.forEach(items, f, { concurrency: 4, discard: true })
    const live = found.runs.filter(({ state }) => state === "queued" || state === "running")
    yield* each(live, ({ dagId, runId }) =>
      Effect.catchIf(
        airflow.setRunState(dagId, runId, "failed"),
        // it has ended, or gone, by itself
        ({ kind }) => kind === "notFound" || kind === "conflict",
        () => Effect.void
      ))
    yield* each(found.runs, ({ dagId, runId }) => airflow.deleteRun(dagId, runId))
    yield* each(found.waiting, airflow.deleteQueuedEvents)
    yield* deleteAll(airflow.variables, found.variableKeys)
    yield* deleteAll(airflow.connections, found.connectionIds)
    yield* deleteAll(airflow.pools, found.poolNames)
    if (found.isResized) yield* airflow.pools.put({ name: defaultPool, slots: defaultPoolSlots })
  })

/** One that the API cannot remove must not save the others; it is found again by the next look. */
const deleteAll = (
  { delete: deleteOne, deleteAll: deleteMany }: Pick<Airflow["pools"], "delete" | "deleteAll">,
  names: ReadonlyArray<string>
) =>
  names.length === 0 ?
    Effect.void :
    Effect.catchIf(deleteMany(names), isRefusal, () =>
      Effect.forEach(names, (name) =>
        Effect.catchIf(deleteOne(name), isRefusal, () =>
          Effect.void), {
        concurrency: 4,
        discard: true
      }))

const isRefusal = ({ kind }: AirflowApiError) => kind === "unsupported" || kind === "badRequest"

/** Those that match, and the others. */
const split = (names: ReadonlyArray<string>, patterns: ReadonlyArray<string> = []) =>
  Arr.partition(
    names,
    (name) =>
      !patterns.some((pattern) => pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern)
  )
