/**
 * An Airflow over HTTP: asked once which one it is, and spoken to in its dialect from then on.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AirflowVersion, Collection, Endpoint, NewUser } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { Dialect, Kind } from "./dialect.js"
import { plural } from "./dialect.js"
import type { Primitives } from "./primitives.js"
import * as Rest from "./rest.js"
import * as rows from "./rows.js"
import * as transport from "./transport.js"
import { segment } from "./transport.js"
import * as v1 from "./v1.js"
import * as v2 from "./v2.js"
import * as Version from "./version.js"

/** Fails as long as no Airflow answers. */
export const connect = (
  http: HttpClient.HttpClient,
  endpoint: Endpoint
): Effect.Effect<Primitives, AirflowApiError> =>
  Effect.gen(function*() {
    const wire = transport.make(http, endpoint)
    const version = yield* probe(wire)
    const features = Version.featuresOf(version)
    const rest = Rest.make(wire, version.major === 2 ? "/api/v1" : "/api/v2")
    const dialect = version.major === 2 ? v1.make(rest, features) : v2.make(rest, features)
    return primitives(endpoint.baseUrl, version, features, rest, dialect)
  })

// internal

const VersionBody = Schema.Struct({ version: Schema.String })

/** Airflow 2 has no page for the newer question; Airflow 3 has a page for everything, so that only JSON is an answer. */
const probe = (wire: transport.Transport): Effect.Effect<AirflowVersion, AirflowApiError> => {
  const operation = "read Airflow's version"
  const ask = (prefix: string) => ({ operation, method: "GET" as const, path: `${prefix}/version` })
  return wire.either(ask("/api/v2"), ask("/api/v1"), VersionBody).pipe(
    Effect.flatMap(({ version }) => {
      const parsed = Version.parse(version)
      return parsed === undefined
        ? transport.fail(operation, {
          kind: "unsupported",
          detail: `it is ${JSON.stringify(version.slice(0, 50))}`,
          remedy: "Only Airflow 2 and 3 are spoken to."
        })
        : Effect.succeed(parsed)
    })
  )
}

const primitives = (
  baseUrl: string,
  version: AirflowVersion,
  { reparse }: Version.Features,
  rest: Rest.Rest,
  dialect: Dialect
): Primitives => {
  const { call, change, get, json, pages, prefix, remove, text } = rest
  const dagPath = (dagId: string) => `/dags/${segment(dagId)}`
  const runPath = (dagId: string, runId: string) => `${dagPath(dagId)}/dagRuns/${segment(runId)}`

  const dagPages = (operation: string, body?: unknown) =>
    pages({
      operation,
      path: body === undefined
        ? `/dags?${dialect.everyDag}&order_by=dag_id`
        : `/dags?${dialect.everyDag}&dag_id_pattern=~`,
      page: rows.DagPage,
      keyOf: ({ dag_id }) => dag_id,
      body
    })
  const dag = (dagId: string) => Effect.map(get(`read the DAG ${dagId}`, dagPath(dagId), rows.DagRow), rows.toDag)
  const run = (dagId: string, runId: string) =>
    Effect.map(get(`read the run ${runId} of ${dagId}`, runPath(dagId, runId), rows.RunRow), rows.toRun)

  const setRunState: Primitives["setRunState"] = (dagId, runId, state) =>
    change("PATCH", `set the run ${runId} to ${state}`, runPath(dagId, runId), { state })

  const collection = <A, I, J, B, New>(
    kind: Kind,
    of: {
      readonly row: Schema.Schema<A, I>
      readonly page: Schema.Schema<{ readonly total: number; readonly rows: ReadonlyArray<A> }, J>
      readonly keyOf: (row: A) => string
      readonly toModel: (row: A) => B
      readonly order: string
      readonly put: (item: New) => Effect.Effect<void, AirflowApiError>
    }
  ): Collection<B, New> => ({
    list: Effect.map(
      pages({
        operation: `list ${plural[kind]}`,
        path: `/${plural[kind]}?order_by=${of.order}`,
        page: of.page,
        keyOf: of.keyOf
      }),
      (all) => all.map(of.toModel)
    ),
    get: (name) => Effect.map(get(`read the ${kind} ${name}`, `/${plural[kind]}/${segment(name)}`, of.row), of.toModel),
    put: of.put,
    delete: (name) => dialect.remove(kind, name),
    deleteAll: (names) => dialect.removeAll(kind, names)
  })
  const pools = collection("pool", {
    row: rows.PoolRow,
    page: rows.PoolPage,
    keyOf: ({ name }) => name,
    toModel: rows.toPool,
    order: "id",
    put: dialect.putPool
  })

  const user = (method: "GET" | "POST" | "DELETE", operation: string, name: string, body?: unknown) => ({
    operation,
    method,
    path: `${dialect.usersPath}${name === "" ? "" : `/${segment(name)}`}`,
    ...(body === undefined ? {} : { body })
  })
  const noUsers = <A>(call: Effect.Effect<A, AirflowApiError>) =>
    Effect.mapError(call, (error) =>
      dialect.hasNoUsers(error)
        ? transport.fail(error.operation, {
          kind: "unsupported",
          detail: "this Airflow does not manage users itself",
          remedy: "Manage them where they are managed: in Astro, or in its auth manager's configuration."
        })
        : error)

  return {
    baseUrl,
    apiUrl: `${baseUrl}${prefix}`,
    version,
    health: dialect.health,
    authenticated: Effect.asVoid(text(call("GET", "list one DAG", "/dags?limit=1"))),

    dags: Effect.map(dagPages("list DAGs"), (all) => all.map(rows.toDag)),
    dag,
    liveDag: dialect.liveDag,
    requestReparse: (dagId) =>
      reparse
        ? Effect.flatMap(dag(dagId), ({ fileToken }) =>
          change("PUT", `have ${dagId} parsed again`, `/parseDagFile/${segment(fileToken)}`)).pipe(
            // somebody asked already
            Effect.catchIf(({ kind }) =>
              kind === "conflict", () => Effect.void),
            Effect.as(true)
          )
        : Effect.succeed(false),
    dagSource: (dagId) => Effect.flatMap(dag(dagId), dialect.dagSource),
    importErrors: Effect.map(
      pages({
        operation: "list import errors",
        path: `/importErrors?order_by=${dialect.orders.importErrors}`,
        page: rows.ImportErrorPage,
        keyOf: ({ import_error_id }) => String(import_error_id)
      }),
      (all) => all.map(rows.toImportError)
    ),
    setPaused: (dagId, isPaused) =>
      change("PATCH", `${isPaused ? "pause" : "unpause"} ${dagId}`, dagPath(dagId), { is_paused: isPaused }),
    pauseAll: Effect.asVoid(dagPages("pause all DAGs", { is_paused: true })),
    queuedEvents: (dagId) =>
      get(`count the queued events of ${dagId}`, `${dagPath(dagId)}${dialect.queuedEventsPath}`, rows.Counted).pipe(
        Effect.map(({ total_entries }) => total_entries),
        // that there are none is answered so
        Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.succeed(0))
      ),
    deleteQueuedEvents: (dagId) =>
      remove(`delete the queued events of ${dagId}`, `${dagPath(dagId)}${dialect.queuedEventsPath}`),
    deleteDag: (dagId) => remove(`delete the DAG ${dagId}`, dagPath(dagId)),

    startRun: (dagId, newRun) =>
      Effect.map(
        json(call("POST", `trigger ${dagId}`, `${dagPath(dagId)}/dagRuns`, dialect.runBody(newRun)), rows.RunRow),
        rows.toRun
      ),
    runs: (dagId) =>
      Effect.map(
        pages({
          operation: dagId === undefined ? "list runs" : `list runs of ${dagId}`,
          path: `/dags/${dagId === undefined ? "~" : segment(dagId)}/dagRuns?order_by=id`,
          page: rows.RunPage,
          keyOf: (row) => `${row.dag_id}/${row.dag_run_id}`
        }),
        (all) => all.map(rows.toRun)
      ).pipe(
        // an unknown DAG has no runs either: ask
        Effect.tap((found) => found.length === 0 && dagId !== undefined ? dag(dagId) : Effect.void)
      ),
    run,
    followRun: dialect.followRun,
    setRunState,
    clearRun: (dagId, runId) =>
      change("POST", `clear the run ${runId}`, `${runPath(dagId, runId)}/clear`, { dry_run: false }),
    deleteRun: (dagId, runId) => {
      const deleted = remove(`delete the run ${runId}`, runPath(dagId, runId))
      // from 3.3 on a run must have ended
      return Effect.catchIf(
        deleted,
        ({ kind }) => kind === "conflict",
        () => Effect.zipRight(setRunState(dagId, runId, "failed"), deleted)
      )
    },

    taskInstances: (dagId, runId) =>
      dialect.taskInstances(dagId, runId).pipe(
        // some answer so for an unknown run too: ask
        Effect.tap((tasks) => tasks.length === 0 ? run(dagId, runId) : Effect.void)
      ),
    readLog: dialect.readLog,
    xcom: dialect.xcom,
    xcomKeys: (dagId, runId, taskId) =>
      Effect.map(
        pages({
          operation: `list the XComs of ${taskId}`,
          path: `${runPath(dagId, runId)}/taskInstances/${segment(taskId)}/xcomEntries`,
          page: rows.XComPage,
          keyOf: ({ key }) => key
        }),
        (all) => all.map(({ key }) => key)
      ).pipe(
        // some answer so for an unknown run too: ask
        Effect.tap((keys) => keys.length === 0 ? run(dagId, runId) : Effect.void)
      ),

    variables: collection("variable", {
      row: rows.VariableRow,
      page: rows.VariablePage,
      keyOf: ({ key }) => key,
      toModel: rows.toVariable,
      order: "id",
      put: dialect.putVariable
    }),
    connections: collection("connection", {
      row: rows.ConnectionRow,
      page: rows.ConnectionPage,
      keyOf: ({ connection_id }) => connection_id,
      toModel: rows.toConnection,
      order: dialect.orders.connections,
      put: ({ extra, id, password, type, ...given }) => {
        const create = change("POST", `set the connection ${id}`, "/connections", {
          connection_id: id,
          conn_type: type,
          ...rows.present(given),
          ...(password === undefined ? {} : { password: Redacted.value(password) }),
          ...(extra === undefined ? {} : { extra: JSON.stringify(extra) })
        })
        // a change would leave what is not given as it was
        const replace = Effect.zipRight(
          dialect.remove("connection", id),
          create
        )
        return Rest.upsert(create, replace)
      }
    }),
    pools: {
      ...pools,
      // it would be deleted without complaint, and no task would run any more
      deleteAll: (names) => pools.deleteAll(names.filter((name) => name !== "default_pool"))
    },
    users: {
      create: ({ password, roles = ["Admin"], username }: NewUser) =>
        noUsers(text(user("POST", `create the user ${username}`, "", {
          username,
          password: Redacted.value(password),
          email: `${username}@example.com`,
          first_name: username,
          last_name: "airflow-resource",
          roles: roles.map((name) => ({ name }))
        }))).pipe(
          Effect.as("created" as const),
          Effect.catchAll((error) => {
            if (error.kind === "conflict") return Effect.succeed("exists" as const)
            const isUnsupported = error.kind === "unsupported" || error.kind === "notFound"
            return isUnsupported ? Effect.succeed("unsupported" as const) : Effect.fail(error)
          })
        ),
      get: (username) =>
        Effect.map(noUsers(json(user("GET", `read the user ${username}`, username), rows.UserRow)), rows.toUser),
      delete: (username) =>
        noUsers(text(user("DELETE", `remove the user ${username}`, username))).pipe(
          Effect.asVoid,
          Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.void)
        )
    },

    request: (method, path, body) =>
      Effect.map(text(call(method, `${method} ${path}`, path, body)), (answer): unknown => {
        try {
          return JSON.parse(answer)
        } catch {
          return answer
        }
      })
  }
}
