/**
 * Emptying an Airflow and verifying that it is empty: it has no runs, variables or connections, no pools except
 * `default_pool`, no events, backfills or favorites that a later test would notice, and every DAG is paused.
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
import { callSite } from "./CallSite.js"
import { defaultPool } from "./internal/primitives.js"
import { airflowAttributes } from "./internal/tracing.js"

/**
 * Something that an empty Airflow would not have. `name` completes `kind`: "queued events of" a DAG, "slots of" a pool
 * (their number, or that deferred tasks take them), "unreadable list of" pools.
 *
 * @since 0.1.0
 * @category models
 */
export const Leftover = Schema.Struct({
  kind: Schema.Literal(
    "unpaused DAG",
    "run",
    "queued events of",
    "backfill of",
    "favorite",
    "state of asset",
    "waiting partition of",
    "variable",
    "connection",
    "pool",
    "slots of",
    "unreadable list of"
  ),
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
 * An Airflow is not empty after a reset. `problems` says why the last round could not delete more.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResetIncomplete extends Schema.TaggedError<ResetIncomplete>("@airflow-resource/airflow/ResetIncomplete")(
  "ResetIncomplete",
  { leftovers: Schema.Array(Leftover), problems: Schema.Array(Schema.String) }
) {
  override get message(): string {
    const leftovers = this.leftovers.slice(0, 20).map(({ kind, name }) => `${kind} ${name}`).join(", ")
    const problems = this.problems.slice(0, 3).map((problem) => `\n${problem}`)
    return `Airflow is not empty after a reset: ${leftovers}${this.leftovers.length > 20 ? ", …" : ""}. ` +
      `Either something still creates them, or Airflow's API cannot delete them: try Airflow's UI or CLI.` +
      problems.join("")
  }
  readonly retryable = false
}

/**
 * Returns everything that an empty Airflow would not have. Changes nothing. A list that Airflow has but cannot return
 * counts as not empty.
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
 * created meanwhile. What cannot be deleted or read does not protect the rest. Fails with `ResetIncomplete` if it is not
 * empty then, or at the timeout. Runs are deleted but DAGs are only paused: a DAG reappears as long as its file exists,
 * and deleting it can kill the DAG processor. Past events of assets, ended backfills, the audit log and other history
 * stay, because no API can delete them.
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
    let problems: ReadonlyArray<string> = []
    const rounds = Effect.gen(function*() {
      for (let remainingRounds = 3;; remainingRounds--) {
        const { contents, kept } = yield* inspect(airflow, options)
        leftovers = leftoversOf(contents)
        problems = [...problems, ...contents.unreadable.map(({ problem }) => problem)]
        if (leftovers.length === 0) return { deleted: Array.from(deleted.values()), kept }
        if (remainingRounds === 0) return yield* new ResetIncomplete({ leftovers, problems })
        for (const leftover of leftovers) deleted.set(`${leftover.kind} ${leftover.name}`, leftover)
        problems = yield* deleteContents(airflow, contents, options)
        if (contents.runs.some(({ state }) => state === "running")) yield* Effect.sleep(settle)
      }
    })
    return yield* Effect.timeoutFail(rounds, {
      duration: timeout,
      onTimeout: () => new ResetIncomplete({ leftovers, problems })
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
    const [, kind, name] = /^(variables|connections|pools):([^*]+\*?|\*)$/.exec(entry) ?? []
    if (name === undefined || /[\s;](variables|connections|pools):/.test(name)) {
      const form =
        "variables:NAME, connections:NAME or pools:NAME, where only the end of NAME may be *, with commas between"
      return Either.left(`${JSON.stringify(entry)} is not like ${form}`)
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
      dagsAndMore: Effect.flatMap(rowsOf("DAGs", airflow.dags), (dags) =>
        Effect.map(
          Effect.all([
            dagsWithQueuedEvents(airflow, dags.rows),
            rowsOf("backfills, favorites, assets or partitions", airflow.hiddenLeftovers(dags.rows))
          ]),
          ([withEvents, hidden]) => ({ dags, withEvents, hidden })
        )),
      runs: rowsOf("runs", airflow.runs()),
      variables: rowsOf("variables", airflow.variables.list),
      connections: rowsOf("connections", airflow.connections.list),
      pools: rowsOf("pools", airflow.pools.list)
    }, { concurrency: 4 }),
    ({ dagsAndMore: { dags, hidden, withEvents }, ...lists }) => {
      const [connections, pools, runs, variables] = [
        lists.connections.rows,
        lists.pools.rows,
        lists.runs.rows,
        lists.variables.rows
      ]
      const unreadable = [dags, hidden, ...Object.values(lists)].flatMap(({ unreadable }) => unreadable)
      const [keptVariables, variableKeys] = partition(
        variables.map(({ key }) => key),
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
      const unpaused = dags.rows.filter(({ isPaused }) => !isPaused)
      // the default pool is missing, has other slots, counts deferred tasks, or cannot be read
      const isResized = pools.every(({ includeDeferred = false, name, slots }) =>
        name !== defaultPool || slots !== defaultPoolSlots || includeDeferred
      )
      const contents = {
        unpaused,
        runs,
        withEvents,
        hidden: hidden.rows,
        variableKeys,
        connectionIds,
        poolNames,
        isResized,
        unreadable
      }
      return { kept, contents }
    }
  )

/**
 * The rows of a list. Some items keep Airflow from returning the list that they are in, such as unlimited pools in
 * Airflow 2. Then the other kinds can still be emptied. Fails if Airflow itself cannot be used.
 */
const rowsOf = <A>(name: string, list: Effect.Effect<ReadonlyArray<A>, AirflowApiError>) =>
  list.pipe(
    Effect.map((rows) => ({
      rows,
      unreadable: [] as ReadonlyArray<{ readonly name: string; readonly problem: string }>
    })),
    Effect.catchIf(isAboutItem, ({ message }) => Effect.succeed({ rows: [], unreadable: [{ name, problem: message }] }))
  )

/** Whether an error may be about one thing in an Airflow that otherwise works. */
const isAboutItem = ({ kind }: AirflowApiError) =>
  !["unreachable", "timeout", "gateway", "rateLimited", "unauthorized", "forbidden"].includes(kind)

/** Ids of DAGs that have some of the events they need to start: the first event of the next test could start them. */
const dagsWithQueuedEvents = (airflow: Airflow, dags: ReadonlyArray<Dag>) => {
  const startedByEvents = dags.filter(({ timetable }) => /dataset|asset/i.test(timetable)).map(({ dagId }) => dagId)
  const hasEvents = (dagId: string) =>
    Effect.map(airflow.queuedEvents(dagId), (count) => count > 0).pipe(
      Effect.catchIf(isAboutItem, () => Effect.succeed(true))
    )
  return Effect.filter(startedByEvents, hasEvents, { concurrency: 4 })
}

type Contents = Effect.Effect.Success<ReturnType<typeof inspect>>["contents"]

const leftoversOf = ({
  connectionIds,
  hidden,
  isResized,
  poolNames,
  runs,
  unpaused,
  unreadable,
  variableKeys,
  withEvents
}: Contents) => [
  ...unpaused.map(({ dagId }): Leftover => ({ kind: "unpaused DAG", name: dagId })),
  ...runs.map(({ dagId, runId }): Leftover => ({ kind: "run", name: `${dagId}/${runId}` })),
  ...withEvents.map((name): Leftover => ({ kind: "queued events of", name })),
  ...hidden.map(({ kind, name }): Leftover => ({ kind, name })),
  ...variableKeys.map((name): Leftover => ({ kind: "variable", name })),
  ...connectionIds.map((name): Leftover => ({ kind: "connection", name })),
  ...poolNames.map((name): Leftover => ({ kind: "pool", name })),
  ...(isResized ? [{ kind: "slots of" as const, name: defaultPool }] : []),
  ...unreadable.map(({ name }): Leftover => ({ kind: "unreadable list of", name }))
]

/**
 * Pauses the DAGs first, so that nothing new starts, and ends runs before it deletes them, so that no task continues. What
 * one request cannot change, for whatever reason, must not protect the rest: the next round finds it again. Returns why.
 */
const deleteContents = (airflow: Airflow, contents: Contents, { defaultPoolSlots = 128 }: ResetOptions) =>
  Effect.gen(function*() {
    const problems = new Set<string>()
    const attempt = (request: Effect.Effect<void, AirflowApiError>) =>
      Effect.catchAll(request, ({ message }) => Effect.sync(() => void problems.add(message)))
    const each = <A>(items: ReadonlyArray<A>, f: (item: A) => Effect.Effect<void, AirflowApiError>) =>
      Effect.forEach(items, (item) => attempt(f(item)), { concurrency: 4, discard: true })
    const deleteAll = (collection: Pick<Airflow["pools"], "delete" | "deleteAll">, names: ReadonlyArray<string>) =>
      names.length === 0
        ? Effect.void
        : Effect.catchAll(collection.deleteAll(names), () => each(names, collection.delete))

    yield* Effect.catchAll(
      airflow.pauseAll,
      () => each(contents.unpaused, ({ dagId }) => airflow.setPaused(dagId, true))
    )
    // a backfill that has not ended would create more runs
    yield* each(contents.hidden, (leftover) => leftover.delete)
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
    if (contents.isResized) yield* attempt(airflow.pools.put({ name: defaultPool, slots: defaultPoolSlots }))
    return Array.from(problems)
  })

/** The names that match one of the patterns, and the others. */
const partition = (names: ReadonlyArray<string>, patterns: ReadonlyArray<string> = []) =>
  Arr.partition(
    names,
    (name) =>
      !patterns.some((pattern) => pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern)
  )
