/**
 * The primitives of an Airflow over HTTP. Its version is read once and decides on the dialect.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AirflowVersion, Collection, Endpoint, NewUser } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { Dialect, Kind } from "./dialect.js"
import { pathTo, plural } from "./dialect.js"
import * as Json from "./json.js"
import { segment } from "./path.js"
import { defaultPool, type Primitives } from "./primitives.js"
import * as Rest from "./rest.js"
import * as rows from "./rows.js"
import * as transport from "./transport.js"
import { withoutQuery } from "./url.js"
import * as v1 from "./v1.js"
import * as v2 from "./v2.js"
import * as Version from "./version.js"

/** Fails if no Airflow responds. */
export const connect = (
  http: HttpClient.HttpClient,
  endpoint: Endpoint
): Effect.Effect<Primitives, AirflowApiError> =>
  Effect.gen(function*() {
    const requests = transport.make(http, endpoint)
    const version = yield* readVersion(requests)
    const features = Version.featuresOf(version)
    const rest = Rest.make(requests, version.major === 2 ? "/api/v1" : "/api/v2")
    const dialect = version.major === 2 ? v1.make(rest, features) : v2.make(rest, features)
    return primitives(endpoint.baseUrl, version, features, rest, dialect)
  })

// internal

const VersionBody = Schema.Struct({ version: Schema.String })

/** Airflow 2 has no route for v2. Airflow 3 responds with a page to any path, so only JSON counts. */
const readVersion = (requests: transport.Transport): Effect.Effect<AirflowVersion, AirflowApiError> => {
  const operation = "read Airflow's version"
  const call = (prefix: string) => ({ operation, method: "GET" as const, path: `${prefix}/version` })
  return requests.either(call("/api/v2"), call("/api/v1"), VersionBody).pipe(
    Effect.flatMap(({ version }) => {
      const parsed = Version.parse(version)
      return parsed === undefined
        ? transport.apiError(operation, {
          kind: "unsupported",
          detail: `the version is ${JSON.stringify(version.slice(0, 50))}`,
          remedy: "Only Airflow 2 and 3 are supported."
        })
        : Effect.succeed(parsed)
    })
  )
}

const primitives = (
  baseUrl: string,
  version: AirflowVersion,
  features: Version.Features,
  rest: Rest.Rest,
  dialect: Dialect
): Primitives => {
  const { call, change, deleteIfExists, get, json, pages, prefix, requireAddressable, text } = rest
  const dagPath = (dagId: string) => `/dags/${segment(dagId)}`
  const runPath = (dagId: string, runId: string) => `${dagPath(dagId)}/dagRuns/${segment(runId)}`

  const dagPages = (operation: string, body?: unknown) =>
    pages({
      operation,
      path: body === undefined
        ? `/dags?${dialect.allDagsQuery}&order_by=dag_id`
        : `/dags?${dialect.allDagsQuery}&dag_id_pattern=~`,
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
    { keyOf, nameOf, order, page, put, row, toModel }: {
      readonly row: Schema.Schema<A, I>
      readonly page: Schema.Schema<{ readonly total: number; readonly rows: ReadonlyArray<A> }, J>
      readonly keyOf: (row: A) => string
      readonly toModel: (row: A) => B
      readonly order: string
      readonly nameOf: (item: New) => string
      readonly put: (item: New) => Effect.Effect<void, AirflowApiError>
    }
  ): Collection<B, New> => ({
    list: Effect.map(
      pages({
        operation: `list ${plural[kind]}`,
        path: `/${plural[kind]}?order_by=${order}`,
        page,
        keyOf
      }),
      (all) => all.map(toModel)
    ),
    get: (name) => Effect.map(get(`read the ${kind} ${name}`, pathTo(kind, name), row), toModel),
    // a body can contain any name, but what it creates could neither be read nor deleted
    put: (item) =>
      Effect.zipRight(requireAddressable(`set the ${kind} ${nameOf(item)}`, pathTo(kind, nameOf(item))), put(item)),
    delete: (name) => dialect.delete(kind, name),
    deleteAll: (names) => dialect.deleteAll(kind, names)
  })
  const pools = collection("pool", {
    row: rows.PoolRow,
    page: rows.PoolPage,
    keyOf: ({ name }) => name,
    toModel: rows.toPool,
    order: "id",
    nameOf: ({ name }) => name,
    put: dialect.putPool
  })

  const userCall = (method: "GET" | "POST" | "DELETE", operation: string, name?: string, body?: unknown) => ({
    operation,
    method,
    path: name === undefined ? dialect.usersPath : `${dialect.usersPath}/${segment(name)}`,
    ...(body === undefined ? {} : { body })
  })
  const orUnsupported = <A>(request: Effect.Effect<A, AirflowApiError>) =>
    Effect.mapError(request, (error) =>
      dialect.isWithoutUsers(error)
        ? transport.apiError(error.operation, {
          kind: "unsupported",
          detail: "this Airflow does not manage its users itself",
          remedy: "Manage them in its auth manager or identity provider."
        })
        : error)

  /** A conflict may be about the user's name, or about the e-mail that another user has. */
  const userExists = (username: string, conflict: AirflowApiError) =>
    json(userCall("GET", `read the user ${username}`, username), rows.UserRow).pipe(
      Effect.as("exists" as const),
      Effect.mapError((error) => error.kind === "notFound" ? conflict : error)
    )

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
      features.reparse
        ? Effect.flatMap(dag(dagId), ({ fileToken }) =>
          change("PUT", `request a reparse of ${dagId}`, `/parseDagFile/${segment(fileToken)}`)).pipe(
            // a request to parse this file is already pending
            Effect.catchIf(({ kind }) =>
              kind === "conflict", () => Effect.void),
            Effect.as(true)
          )
        : Effect.succeed(false),
    dagSource: (dagId) => Effect.flatMap(dag(dagId), dialect.dagSource),
    importErrors: Effect.map(
      pages({
        operation: "list import errors",
        path: `/importErrors?order_by=${dialect.stableOrders.importErrors}`,
        page: rows.ImportErrorPage,
        keyOf: ({ import_error_id }) => String(import_error_id)
      }),
      (all) => all.map(rows.toImportError)
    ),
    setPaused: (dagId, isPaused) =>
      change("PATCH", `${isPaused ? "pause" : "unpause"} ${dagId}`, dagPath(dagId), { is_paused: isPaused }),
    pauseAll: Effect.asVoid(dagPages("pause all DAGs", { is_paused: true })),
    queuedEvents: (dagId) =>
      get(`count the queued events of ${dagId}`, `${dagPath(dagId)}${dialect.queuedEventsPath}`, rows.Count).pipe(
        Effect.map(({ total_entries }) => total_entries),
        // Airflow's response if there are none
        Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.succeed(0))
      ),
    deleteQueuedEvents: (dagId) =>
      deleteIfExists(`delete the queued events of ${dagId}`, `${dagPath(dagId)}${dialect.queuedEventsPath}`),
    hiddenLeftovers: dialect.hiddenLeftovers,
    deleteDag: (dagId) => deleteIfExists(`delete the DAG ${dagId}`, dagPath(dagId)),

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
        // the list of an unknown DAG is empty, too: fail if the DAG does not exist
        Effect.tap((all) => all.length === 0 && dagId !== undefined ? dag(dagId) : Effect.void)
      ),
    run,
    followRun: dialect.followRun,
    setRunState,
    clearRun: (dagId, runId) =>
      change("POST", `clear the run ${runId}`, `${runPath(dagId, runId)}/clear`, { dry_run: false }),
    deleteRun: (dagId, runId) => {
      const deleteEnded = deleteIfExists(`delete the run ${runId}`, runPath(dagId, runId))
      // since 3.3 a run cannot be deleted before it has ended
      return Effect.catchIf(
        deleteEnded,
        ({ kind }) => kind === "conflict",
        () => Effect.zipRight(setRunState(dagId, runId, "failed"), deleteEnded)
      )
    },

    taskInstances: (dagId, runId) =>
      dialect.taskInstances(dagId, runId).pipe(
        // some versions return an empty list for an unknown run: fail if the run does not exist
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
        // some versions return an empty list for an unknown run: fail if the run does not exist
        Effect.tap((keys) => keys.length === 0 ? run(dagId, runId) : Effect.void)
      ),

    variables: collection("variable", {
      row: rows.VariableRow,
      page: rows.VariablePage,
      keyOf: ({ key }) => key,
      toModel: rows.toVariable,
      order: "id",
      nameOf: ({ key }) => key,
      put: dialect.putVariable
    }),
    connections: collection("connection", {
      row: rows.ConnectionRow,
      page: rows.ConnectionPage,
      keyOf: ({ connection_id }) => connection_id,
      toModel: rows.toConnection,
      order: dialect.stableOrders.connections,
      nameOf: ({ id }) => id,
      put: ({ extra, id, password, type, ...fields }) => {
        const create = change("POST", `set the connection ${id}`, "/connections", {
          connection_id: id,
          conn_type: type,
          ...rows.present(fields),
          ...(password === undefined ? {} : { password: Redacted.value(password) }),
          ...(extra === undefined ? {} : { extra: JSON.stringify(extra) })
        })
        // an update would keep the fields that are missing
        const replace = Effect.zipRight(dialect.delete("connection", id), create)
        return Rest.upsert(create, replace)
      }
    }),
    pools: {
      ...pools,
      // Airflow would delete the default pool, and then no task would run
      deleteAll: (names) => pools.deleteAll(names.filter((name) => name !== defaultPool))
    },
    users: {
      create: ({ password, roles = ["Admin"], username }: NewUser) =>
        Effect.zipRight(
          transport.requireAddressable(`create the user ${username}`, `${dialect.usersPath}/${segment(username)}`),
          orUnsupported(text(userCall("POST", `create the user ${username}`, undefined, {
            username,
            password: Redacted.value(password),
            email: `${segment(username)}@example.com`,
            first_name: username.slice(0, 64),
            last_name: "airflow-resource",
            roles: roles.map((name) => ({ name }))
          })))
        ).pipe(
          Effect.as("created" as const),
          Effect.catchAll((error) => {
            if (error.kind === "conflict") return userExists(username, error)
            const isUnsupported = error.kind === "unsupported" || error.kind === "notFound"
            return isUnsupported ? Effect.succeed("unsupported" as const) : Effect.fail(error)
          })
        ),
      get: (username) =>
        Effect.map(
          orUnsupported(json(userCall("GET", `read the user ${username}`, username), rows.UserRow)),
          rows.toUser
        ),
      delete: (username) =>
        orUnsupported(text(userCall("DELETE", `delete the user ${username}`, username))).pipe(
          Effect.asVoid,
          Effect.catchIf(({ kind }) => kind === "notFound", () => Effect.void)
        )
    },

    request: (method, path, body) =>
      Effect.map(text(call(method, `send ${method} ${withoutQuery(path)}`, path, body)), (response): unknown => {
        try {
          return Json.parse(response)
        } catch {
          return response
        }
      })
  }
}
