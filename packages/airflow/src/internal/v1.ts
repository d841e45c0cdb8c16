/**
 * The dialect of Airflow 2: `/api/v1`.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Dialect } from "./dialect.js"
import { cannotFollow, dagNotLive, deleteFrom, logLimits, poolFields } from "./dialect.js"
import { fromText } from "./logs.js"
import { segment } from "./path.js"
import type { Rest } from "./rest.js"
import { upsert } from "./rest.js"
import { DagRow, HealthBody, present, TaskPage, toDag, toHealth, toTask, XComBody } from "./rows.js"
import { apiError } from "./transport.js"
import type { Features } from "./version.js"

export const make = (rest: Rest, features: Features): Dialect => {
  const { call, change, get, text } = rest
  const deleteOne = deleteFrom(rest)
  return {
    health: Effect.map(get("read Airflow's health", "/health", HealthBody), toHealth),
    allDagsQuery: "only_active=false",
    stableOrders: { connections: "connection_id", importErrors: "import_error_id" },

    // the list's row of a DAG may be newer than the version that would run; only the details are of that version
    liveDag: (dagId) =>
      get(`read the DAG ${dagId}`, `/dags/${segment(dagId)}/details`, DagRow).pipe(
        Effect.map(toDag),
        Effect.filterOrFail(({ hasImportErrors, isActive }) => isActive && !hasImportErrors, () => dagNotLive(dagId))
      ),
    dagSource: ({ dagId, fileToken }) =>
      text({
        ...call("GET", `read the source of ${dagId}`, `/dagSources/${segment(fileToken)}`),
        accept: "text/plain"
      }),

    runBody: ({ conf, logicalDate, note, runId }) => ({
      dag_run_id: runId,
      conf,
      ...present({
        logical_date: Option.getOrUndefined(Option.map(logicalDate, DateTime.formatIso)),
        note: Option.getOrUndefined(note)
      })
    }),
    followRun: (dagId, runId) => cannotFollow(dagId, runId),

    // in one page: the server does not limit its size, and has no order that would keep pages apart
    taskInstances: (dagId, runId) =>
      Effect.map(
        get(
          `list the tasks of ${runId}`,
          `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances?limit=10000`,
          TaskPage
        ),
        ({ rows }) => rows.map(toTask)
      ),
    readLog: (dagId, runId, taskId, mapIndex, tryNumber, part) => {
      const path = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${
        segment(taskId)
      }/logs/${tryNumber}`
      const query = `?full_content=true${mapIndex < 0 ? "" : `&map_index=${mapIndex}`}`
      return Effect.map(
        text({
          ...call("GET", `read the log of ${taskId}`, `${path}${query}`),
          accept: "text/plain",
          ...logLimits(part)
        }),
        (body) => fromText(body, tryNumber)
      )
    },
    xcom: (dagId, runId, taskId, { key = "return_value", mapIndex = -1 } = {}) => {
      const task = `/dags/${segment(dagId)}/dagRuns/${segment(runId)}/taskInstances/${segment(taskId)}`
      const query = [
        ...(mapIndex < 0 ? [] : [`map_index=${mapIndex}`]),
        ...(features.xcomAsJson ? ["stringify=false"] : [])
      ].join("&")
      return Effect.map(
        get(
          `read the XCom ${key} of ${taskId}`,
          `${task}/xcomEntries/${segment(key)}${query === "" ? "" : `?${query}`}`,
          XComBody
        ),
        ({ value }) => value
      )
    },

    // the POST replaces an existing variable
    putVariable: ({ description, key, value }) =>
      upsert(
        change("POST", `set the variable ${key}`, "/variables", { key, value, ...present({ description }) }),
        Effect.void
      ),
    putPool: (pool) => {
      const { name, ...fields } = poolFields(pool)
      if (fields.slots < 0) return unlimitedPool(name)
      const path = `/pools/${segment(name)}?update_mask=${Object.keys(fields).join(",")}`
      return upsert(
        change("POST", `set the pool ${name}`, "/pools", { name, ...fields }),
        change("PATCH", `set the pool ${name}`, path, fields)
      )
    },
    delete: deleteOne,
    deleteAll: (kind, names) =>
      Effect.forEach(names, (name) => deleteOne(kind, name), { concurrency: 4, discard: true }),
    queuedEventsPath: "/datasets/queuedEvent",
    hiddenLeftovers: () => Effect.succeed([]),
    usersPath: "/api/v1/users",
    // a managed Airflow refuses access to its users
    isWithoutUsers: ({ kind }) => kind === "unsupported" || kind === "forbidden"
  }
}

// internal

const unlimitedPool = (name: string) =>
  apiError(`set the pool ${name}`, {
    kind: "unsupported",
    detail: "Airflow 2 responds with status 500 to every list of pools that contains an unlimited one",
    remedy: "Give it a large number of slots instead."
  })
