/**
 * The dialect of Airflow 3: `/api/v2`.
 */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Dag, HiddenLeftover } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { Dialect } from "./dialect.js"
import { cannotFollow, dagNotLive, deleteFrom, logLimits, plural, poolFields } from "./dialect.js"
import { fromItems, fromJsonLines, LogBody } from "./logs.js"
import { segment } from "./path.js"
import { defaultPool } from "./primitives.js"
import type { Rest } from "./rest.js"
import { upsert } from "./rest.js"
import {
  AssetPage,
  BackfillPage,
  Count,
  DagPage,
  DagRow,
  HealthBody,
  PartitionList,
  present,
  TaskPage,
  toDag,
  toHealth,
  toTask,
  XComBody
} from "./rows.js"
import { apiError } from "./transport.js"
import type { Features } from "./version.js"

export const make = (rest: Rest, features: Features): Dialect => {
  const { call, change, get, json, lines, pages, text } = rest
  const deleteOne = deleteFrom(rest)
  return {
    health: Effect.map(get("read Airflow's health", "/monitor/health", HealthBody), (body) => {
      const health = toHealth(body)
      // Airflow 3 always has one, but does not report it before its first heartbeat
      const starting = { status: "not up yet", heartbeat: Option.none() }
      return { ...health, dagProcessor: Option.orElseSome(health.dagProcessor, () => starting) }
    }),
    allDagsQuery: "exclude_stale=false",
    stableOrders: { connections: "id", importErrors: "id" },

    liveDag: (dagId) =>
      get(`read the DAG ${dagId}`, `/dags/${segment(dagId)}`, DagRow).pipe(
        Effect.map(toDag),
        Effect.filterOrFail(({ isActive }) => isActive, () => dagNotLive(dagId))
      ),
    dagSource: ({ dagId }) =>
      text({ ...call("GET", `read the source of ${dagId}`, `/dagSources/${segment(dagId)}`), accept: "text/plain" }),

    runBody: ({ conf, logicalDate, note, runId }) => ({
      dag_run_id: runId,
      logical_date: Option.getOrNull(Option.map(logicalDate, DateTime.formatIso)),
      conf,
      ...present({ note: Option.getOrUndefined(note) })
    }),
    followRun: (dagId, runId, onState) => {
      if (!features.wait) return cannotFollow(dagId, runId)
      const path = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/wait?interval=1`
      return lines(call("GET", `follow the run ${runId} of ${dagId}`, path)).pipe(
        // Airflow sends a line every second, but a proxy may buffer them
        Stream.timeout("15 seconds"),
        Stream.mapEffect((line) => Effect.option(Schema.decode(StateLine)(line))),
        Stream.runForEach(Option.match({ onNone: () => Effect.void, onSome: ({ state }) => onState(state) }))
      )
    },

    taskInstances: (dagId, runId) =>
      Effect.map(
        pages({
          operation: `list the tasks of ${runId}`,
          path: `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances?order_by=id`,
          page: TaskPage,
          keyOf: (row) => `${row.task_id}/${row.map_index}`
        }),
        (rows) => rows.map(toTask)
      ),
    // always the whole log: each minor version treats continuation tokens differently
    readLog: (dagId, runId, taskId, mapIndex, tryNumber, part) => {
      const path = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${
        segment(taskId)
      }/logs/${tryNumber}`
      const query = `?full_content=true${mapIndex < 0 ? "" : `&map_index=${mapIndex}`}`
      const request = { ...call("GET", `read the log of ${taskId}`, `${path}${query}`), ...logLimits(part) }
      return part === "all"
        ? Effect.map(json(request, LogBody), ({ content }) => fromItems(content, tryNumber))
        : Effect.map(
          text({ ...request, accept: "application/x-ndjson" }),
          (body) => fromJsonLines(body, tryNumber)
        )
    },
    xcom: (dagId, runId, taskId, { key = "return_value", mapIndex = -1 } = {}) =>
      Effect.map(
        get(
          `read the XCom ${key} of ${taskId}`,
          `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${segment(taskId)}` +
            `/xcomEntries/${segment(key)}?map_index=${mapIndex}`,
          XComBody
        ),
        ({ value }) => value
      ),

    putVariable: ({ description = null, key, value }) => {
      const body = { key, value, description }
      return upsert(
        change("POST", `set the variable ${key}`, "/variables", body),
        change("PATCH", `set the variable ${key}`, `/variables/${segment(key)}`, body)
      )
    },
    putPool: (pool) => {
      const { name, ...fields } = poolFields(pool)
      // an update calls the name `pool`
      const update = name === defaultPool ? fields : { pool: name, ...fields }
      const mask = Object.keys(fields).map((field) => `update_mask=${field}`).join("&")
      return upsert(
        change("POST", `set the pool ${name}`, "/pools", { name, ...fields }),
        change("PATCH", `set the pool ${name}`, `/pools/${segment(name)}?${mask}`, update)
      )
    },
    delete: deleteOne,
    deleteAll: (kind, names) =>
      Effect.forEach(
        Arr.chunksOf(names, 500),
        (entities) => {
          const operation = `delete ${entities.length} ${plural[kind]}`
          const actions = [{ action: "delete", entities, action_on_non_existence: "skip" }]
          return json(call("PATCH", operation, `/${plural[kind]}`, { actions }), BulkResponse).pipe(
            Effect.flatMap((response) => {
              const errors = response.delete?.errors ?? []
              return errors.length === 0 ? Effect.void : apiError(operation, {
                kind: "badRequest",
                detail: JSON.stringify(errors).slice(0, 300),
                remedy: "Delete them one by one to find out which one fails."
              })
            }),
            // up to 3.1.0 the permissions for this request are checked incorrectly
            Effect.catchIf(({ kind }) => kind === "forbidden", () =>
              Effect.forEach(
                entities,
                (name) => deleteOne(kind, name),
                { concurrency: 4, discard: true }
              ))
          )
        },
        { discard: true }
      ),
    queuedEventsPath: "/assets/queuedEvents",
    hiddenLeftovers: hiddenLeftoversOf(rest, features),
    usersPath: "/auth/fab/v1/users",
    // an Airflow that does not manage its users responds with its start page
    isWithoutUsers: ({ kind, status }) =>
      kind === "unsupported" || kind === "forbidden" || (kind === "gateway" && status === 200)
  }
}

// internal

/** A request for something that may be done already. */
const unlessDone = (request: Effect.Effect<void, AirflowApiError>) =>
  Effect.catchIf(request, ({ kind }) => kind === "conflict" || kind === "notFound", () => Effect.void)

const hiddenLeftoversOf = (rest: Rest, features: Features): Dialect["hiddenLeftovers"] => (dags) => {
  const { call, change, deleteIfExists, get, json, pages } = rest

  // a new backfill is refused until the previous one has ended, so only the last one may not have
  const backfill = (dagId: string) =>
    Effect.map(
      get(
        `read the last backfill of ${dagId}`,
        `/backfills?dag_id=${encodeURIComponent(dagId)}&order_by=-id&limit=1`,
        BackfillPage
      ),
      ({ rows }) =>
        rows.filter(({ completed_at }) => completed_at === null).map(({ id }): HiddenLeftover => ({
          kind: "backfill of",
          name: dagId,
          delete: unlessDone(change("PUT", `cancel the backfill of ${dagId}`, `/backfills/${id}/cancel`))
        }))
    )
  const isBackfillable = ({ timetable }: Dag) => !/^(Never|Triggered by assets$)/.test(timetable)
  const backfills = Effect.forEach(dags.filter(isBackfillable), ({ dagId }) => backfill(dagId), { concurrency: 4 })

  const favorites = pages({
    operation: "list favorites",
    path: "/dags?is_favorite=true&exclude_stale=false&order_by=dag_id",
    page: DagPage,
    keyOf: ({ dag_id }) => dag_id
  }).pipe(Effect.map((rows) =>
    rows.map(({ dag_id }): HiddenLeftover => ({
      kind: "favorite",
      name: dag_id,
      delete: unlessDone(change("POST", `unmark the favorite ${dag_id}`, `/dags/${segment(dag_id)}/unfavorite`))
    }))
  ))

  const stateOf = ({ id, name }: typeof AssetPage.Type["rows"][number]) =>
    Effect.map(
      get(`count the states of the asset ${name}`, `/assets/${id}/state-store?limit=1`, Count),
      ({ total_entries }): ReadonlyArray<HiddenLeftover> =>
        total_entries === 0 ? [] : [{
          kind: "state of asset",
          name,
          delete: deleteIfExists(`delete the states of the asset ${name}`, `/assets/${id}/state-store`)
        }]
    )
  const assetStates = pages({
    operation: "list assets",
    path: "/assets?only_active=false&order_by=id",
    page: AssetPage,
    keyOf: ({ id }) => String(id)
  }).pipe(Effect.flatMap(Effect.forEach((asset) => stateOf(asset), { concurrency: 4 })))

  const waitingPartition = (name: string, detail: string): HiddenLeftover => ({
    kind: "waiting partition of",
    name,
    delete: apiError(`delete the waiting partition of ${name}`, {
      kind: "unsupported",
      detail,
      remedy: "Send the missing events, so that its run starts, or use another Airflow."
    })
  })
  // only the API of the user interface lists them, and none deletes them
  const partitions = json(
    {
      ...call("GET", "list waiting partitions", ""),
      path: "/ui/partitioned_dag_runs?has_created_dag_run_id=false"
    },
    PartitionList
  ).pipe(
    Effect.map(({ partitioned_dag_runs }) =>
      partitioned_dag_runs.map(({ dag_id, partition_key }) =>
        waitingPartition(`${dag_id}/${partition_key}`, "Airflow's API cannot delete the events that it has got")
      )
    ),
    // an Airflow without this list responds with its start page, and a gateway may admit API requests only
    Effect.catchIf(
      ({ kind, status }) => kind === "forbidden" || (kind === "gateway" && status === 200),
      () => Effect.succeed([waitingPartition("an unknown DAG", "Airflow does not list the partitions that wait")])
    )
  )

  return Effect.map(
    Effect.all([
      backfills,
      features.favorites ? Effect.map(favorites, Arr.of) : Effect.succeed([]),
      features.assetStates ? assetStates : Effect.succeed([]),
      features.partitions && dags.some(({ isPartitioned }) => isPartitioned)
        ? Effect.map(partitions, Arr.of)
        : Effect.succeed([])
    ]),
    (lists) => lists.flat(2)
  )
}

const StateLine = Schema.parseJson(Schema.Struct({ state: Schema.Literal("queued", "running", "success", "failed") }))

const BulkResponse = Schema.Struct({
  delete: Schema.optional(Schema.NullOr(Schema.Struct({ errors: Schema.Array(Schema.Unknown) })))
})
