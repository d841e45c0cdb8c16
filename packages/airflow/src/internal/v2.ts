/**
 * The dialect of Airflow 3: `/api/v2`.
 */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Dialect } from "./dialect.js"
import { cannotFollow, dagNotLive, deleteFrom, plural, poolFields } from "./dialect.js"
import { fromItems, LogBody } from "./logs.js"
import { defaultPool } from "./primitives.js"
import type { Rest } from "./rest.js"
import { upsert } from "./rest.js"
import { DagRow, HealthBody, present, TaskPage, toDag, toHealth, toTask, XComBody } from "./rows.js"
import { apiError, segment } from "./transport.js"
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
    readLog: (dagId, runId, taskId, mapIndex, tryNumber) => {
      const path = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${
        segment(taskId)
      }/logs/${tryNumber}`
      return Effect.map(
        get(
          `read the log of ${taskId}`,
          `${path}?full_content=true${mapIndex < 0 ? "" : `&map_index=${mapIndex}`}`,
          LogBody
        ),
        ({ content }) => fromItems(content, tryNumber)
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
    usersPath: "/auth/fab/v1/users",
    // an Airflow that does not manage its users responds with its start page
    isWithoutUsers: ({ kind, status }) =>
      kind === "unsupported" || kind === "forbidden" || (kind === "gateway" && status === 200)
  }
}

// internal

const StateLine = Schema.parseJson(Schema.Struct({ state: Schema.Literal("queued", "running", "success", "failed") }))

const BulkResponse = Schema.Struct({
  delete: Schema.optional(Schema.NullOr(Schema.Struct({ errors: Schema.Array(Schema.Unknown) })))
})
