/**
 * Airflow 3: `/api/v2`.
 */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Dialect } from "./dialect.js"
import { notFollowed, notLive, plural, poolFields, removeBy } from "./dialect.js"
import { fromItems, LogBody } from "./logs.js"
import type { Rest } from "./rest.js"
import { upsert } from "./rest.js"
import { DagRow, HealthBody, present, TaskPage, toDag, toHealth, toTask, XComBody } from "./rows.js"
import { fail, segment } from "./transport.js"
import type { Features } from "./version.js"

export const make = (rest: Rest, features: Features): Dialect => {
  const { call, change, get, json, lines, pages, text } = rest
  const remove = removeBy(rest)
  return {
    health: Effect.map(get("read Airflow's health", "/monitor/health", HealthBody), (body) => {
      const health = toHealth(body)
      // there always is one, and it says nothing before its first heartbeat
      const silent = { status: "not up yet", heartbeat: Option.none() }
      return { ...health, dagProcessor: Option.orElseSome(health.dagProcessor, () => silent) }
    }),
    everyDag: "exclude_stale=false",
    orders: { connections: "id", importErrors: "id" },

    liveDag: (dagId) =>
      get(`read the DAG ${dagId}`, `/dags/${segment(dagId)}`, DagRow).pipe(
        Effect.map(toDag),
        Effect.filterOrFail(({ isActive }) => isActive, () => notLive(dagId))
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
      if (!features.wait) return notFollowed(dagId, runId)
      const path = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/wait?interval=1`
      return lines(call("GET", `follow the run ${runId} of ${dagId}`, path)).pipe(
        // there is one every second, unless something in between holds them back
        Stream.timeout("15 seconds"),
        Stream.mapEffect((line) => Effect.option(Schema.decode(State)(line))),
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
    // never with a token to read on from: every minor version does something else with it
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
          `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${segment(taskId)}/xcomEntries/${
            segment(key)
          }` +
            `?map_index=${mapIndex}`,
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
      // a pool's name is called `pool` in a change
      const changed = name === "default_pool" ? fields : { pool: name, ...fields }
      const mask = Object.keys(fields).map((field) => `update_mask=${field}`).join("&")
      return upsert(
        change("POST", `set the pool ${name}`, "/pools", { name, ...fields }),
        change("PATCH", `set the pool ${name}`, `/pools/${segment(name)}?${mask}`, changed)
      )
    },
    remove,
    removeAll: (kind, names) =>
      Effect.forEach(
        Arr.chunksOf(names, 500),
        (entities) => {
          const operation = `remove ${entities.length} ${plural[kind]}`
          const actions = [{ action: "delete", entities, action_on_non_existence: "skip" }]
          return json(call("PATCH", operation, `/${plural[kind]}`, { actions }), BulkAnswer).pipe(
            Effect.flatMap((answer) => {
              const errors = answer.delete?.errors ?? []
              return errors.length === 0 ? Effect.void : fail(operation, {
                kind: "badRequest",
                detail: JSON.stringify(errors).slice(0, 300),
                remedy: "Remove them one by one to see which it is."
              })
            }),
            // the rights to this call were checked wrongly up to 3.1.0
            Effect.catchIf(({ kind }) => kind === "forbidden", () =>
              Effect.forEach(
                entities,
                (name) => remove(kind, name),
                { concurrency: 4, discard: true }
              ))
          )
        },
        { discard: true }
      ),
    queuedEventsPath: "/assets/queuedEvents",
    usersPath: "/auth/fab/v1/users",
    // without users of its own it shows its start page there
    hasNoUsers: ({ kind, status }) =>
      kind === "unsupported" || kind === "forbidden" || (kind === "gateway" && status === 200)
  }
}

// internal

const State = Schema.parseJson(Schema.Struct({ state: Schema.Literal("queued", "running", "success", "failed") }))

const BulkAnswer = Schema.Struct({
  delete: Schema.optional(Schema.NullOr(Schema.Struct({ errors: Schema.Array(Schema.Unknown) })))
})
