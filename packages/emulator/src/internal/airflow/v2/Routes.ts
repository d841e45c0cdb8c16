/** The REST API of Airflow 3 (`/api/v2`). */
import { catchHalt, match, type Response, response, type Route, route } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Health from "../Health.js"
import * as Python from "../Python.js"
import { isAtLeast } from "../Version.js"
import * as Body from "./Body.js"
import * as Connections from "./Connections.js"
import * as Dags from "./Dags.js"
import * as Pools from "./Pools.js"
import * as Responses from "./Responses.js"
import * as Runs from "./Runs.js"
import * as Tasks from "./Tasks.js"
import * as Variables from "./Variables.js"

export const handle = (call: Call): Response => compressed(call, catchHalt(() => dispatch(call)))

const dispatch = (call: Call): Response => {
  const { method, segments } = call.request
  const [first, second, ...rest] = segments
  if (first === "api" && second === "v2") return handleRoute(call, routes, rest)
  if (first === "auth" && second === "token") return handleRoute(call, loginRoutes, segments.slice(1))
  if (method !== "GET") return Responses.methodNotAllowed()
  if (first === "api" && second === "v1") return Responses.json(404, { error: removed })
  if (first === "api") return Responses.noRoute()
  if (first === "health") return Responses.json(404, { error: moved })
  return userInterface()
}

const removed = "/api/v1 has been removed in Airflow 3, please use its upgraded version /api/v2 instead."

const moved = "Moved in Airflow 3. Please change config to check `/api/v2/monitor/health`"

/** Unknown paths belong to the user interface, which allows only GET, so that other methods get 405 rather than 404. */
const handleRoute = (call: Call, table: ReadonlyArray<VersionedRoute>, segments: ReadonlyArray<string>): Response => {
  const { method } = call.request
  const known = table.filter(({ since }) => isAtLeast(call.version, since)).map((entry) => entry.route)
  const found = match(known, method, segments)
  if (found._tag === "Found") return found.route.handle(call, ...found.parameters)
  return method === "GET" && found._tag === "NotFound" ? Responses.noRoute() : Responses.methodNotAllowed()
}

/** The page that is served for every path the server does not know. */
const userInterface = (): Response =>
  response(
    200,
    "text/html; charset=utf-8",
    "<!doctype html>\n<html lang=\"en\">\n  <head>\n    <title>Airflow</title>\n  </head>\n  <body>\n    <div id=\"root\"></div>\n  </body>\n</html>\n"
  )

/** Responses of any size are compressed. Before 3.3 a compressed streaming body is sent only at its end. */
const compressed = (call: Call, result: Response): Response => {
  const accepted = call.request.headers["accept-encoding"] ?? ""
  if (!/\bgzip\b/.test(String(accepted))) return result
  const isStreaming = typeof result.body !== "string"
  return { ...result, gzip: isStreaming && isAtLeast(call.version, "3.3") ? "streamed" : "whole" }
}

/** There are no accounts to log in to: the caller has already passed Astro's ingress. */
const login = (call: Call): Response => {
  const isForm = call.request.headers["content-type"]?.includes("x-www-form-urlencoded") === true
  if (!isForm || !isAtLeast(call.version, "3.1")) {
    const fields = { username: Body.required(Body.text), password: Body.required(Body.text) }
    const errors = Body.errorsOf(Body.parse(call), fields)
    if (errors.length > 0) return Responses.failure(422, isAtLeast(call.version, "3.1") ? printed(errors) : errors)
  }
  return Responses.failure(401, "Invalid credentials")
}

/** As pydantic prints the errors. */
const printed = (errors: ReturnType<typeof Body.errorsOf>): string => {
  const lines = errors.map(({ input, loc, msg, type }) =>
    `${loc.at(-1)}\n  ${msg} [type=${type}, input_value=${Python.repr(input)}, input_type=${Python.typeOf(input)}]\n` +
    `    For further information visit https://errors.pydantic.dev/2.13/v/${type}`
  )
  return [`${lines.length} validation error${lines.length === 1 ? "" : "s"} for LoginBody`, ...lines].join("\n")
}

const noLogin = (): Response =>
  Responses.failure(403, "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True")

const notExposed = "Your Airflow administrator chose not to expose the configuration, most likely for security reasons."

const config = (call: Call): Response =>
  /application\/json|text\/plain|\*\/\*/.test(call.request.headers.accept ?? "*/*")
    ? Responses.failure(403, notExposed)
    : Responses.failure(406, "Only application/json or text/plain is supported")

/** There are no assets, so that no event is ever queued. */
const noEvents = (_: Call, dagId: string): Response =>
  Responses.failure(404, `Queue event with dag_id: \`${dagId}\` was not found`)

const listNoEvents = (call: Call, dagId: string): Response =>
  isAtLeast(call.version, "3.1") ? Responses.ok({ queued_events: [], total_entries: 0 }) : noEvents(call, dagId)

const health = (call: Call): Response => Responses.ok(Health.report(call, Health.component(call, "dagProcessor")))

interface VersionedRoute {
  readonly since: string
  readonly route: Route<Call>
}

const on = (spec: string, handle: Route<Call>["handle"], since = "3.0"): VersionedRoute => ({
  since,
  route: route(spec, handle)
})

const loginRoutes = [on("POST token", login), on("POST token/cli", login), on("GET token", noLogin)]

const dag = "dags/:dagId"
const run = `${dag}/dagRuns/:runId`
const task = `${run}/taskInstances/:taskId`
const xcom = `${task}/xcomEntries/:key`

const clearRun = (call: Call, dagId: string, runId: string): Response =>
  Runs.clear(call, dagId, runId, (instances) => Responses.ok(Tasks.collection(call, instances)))

const routes: ReadonlyArray<VersionedRoute> = [
  on("GET version", ({ deployment }) => Responses.ok({ version: deployment.runtime.airflowVersion, git_version: "" })),
  on("GET monitor/health", health),
  on("GET dags", Dags.list),
  on("PATCH dags", Dags.patchList),
  on(`GET ${dag}`, Dags.get),
  on(`PATCH ${dag}`, Dags.patch),
  on(`DELETE ${dag}`, Dags.deleteDag),
  on(`GET ${dag}/details`, Dags.getDetails),
  on(`GET ${dag}/dagVersions`, Dags.listVersions),
  on(`GET ${dag}/dagVersions/:number`, Dags.getVersion),
  on("GET dagSources/:dagId", Dags.getSource),
  on("PUT parseDagFile/:token", Dags.requestParse),
  on("GET importErrors", Dags.listImportErrors),
  on("GET importErrors/:id", Dags.getImportError),
  // Airflow warns only of missing pools, and the emulated DAGs cannot name a pool
  on("GET dagWarnings", () => Responses.ok({ dag_warnings: [], total_entries: 0 })),
  on("GET dagStats", Dags.getStats),
  on(`POST ${dag}/favorite`, Dags.favorite, "3.1"),
  on(`POST ${dag}/unfavorite`, Dags.unfavorite, "3.1"),
  on("GET config", config),
  on("GET assets", () => Responses.ok({ assets: [], total_entries: 0 })),
  on(`GET ${dag}/assets/queuedEvents`, listNoEvents),
  on(`DELETE ${dag}/assets/queuedEvents`, noEvents),
  on(`POST ${dag}/dagRuns`, Runs.trigger),
  on(`GET ${dag}/dagRuns`, Runs.list),
  on(`POST ${dag}/dagRuns/list`, Runs.listBatch),
  on(`GET ${run}`, Runs.get),
  on(`PATCH ${run}`, Runs.patch),
  on(`DELETE ${run}`, Runs.deleteRun),
  on(`POST ${run}/clear`, clearRun),
  on(`GET ${run}/wait`, Runs.wait, "3.1"),
  on(`POST ${dag}/clearTaskInstances`, Tasks.clear),
  on(`GET ${run}/taskInstances`, Tasks.list),
  on("POST dags/~/dagRuns/~/taskInstances/list", Tasks.listBatch),
  on(`GET ${task}`, Tasks.get),
  on(`DELETE ${task}`, Tasks.deleteInstance, "3.1"),
  on(`GET ${task}/listMapped`, Tasks.listMapped),
  on(`GET ${task}/tries`, Tasks.listTries),
  on(`GET ${task}/xcomEntries`, Tasks.listXComs),
  on(`POST ${task}/xcomEntries`, Tasks.postXCom),
  on(`GET ${xcom}`, Tasks.withoutSlash(Tasks.getXCom)),
  on(`PATCH ${xcom}`, Tasks.patchXCom),
  on(`DELETE ${xcom}`, Tasks.deleteXCom, "3.2"),
  on(`GET ${task}/logs/:attempt`, Tasks.getLog),
  on(`GET ${task}/:mapIndex`, Tasks.get),
  on(`GET ${task}/:mapIndex/tries`, Tasks.listTries),
  on("GET variables", Variables.list),
  on("POST variables", Variables.post),
  on("PATCH variables", Variables.patchBulk),
  on("GET variables/:key", Variables.get),
  on("PATCH variables/:key", Variables.patch),
  on("DELETE variables/:key", Variables.deleteVariable),
  on("GET connections", Connections.list),
  on("POST connections", Connections.post),
  on("PATCH connections", Connections.patchBulk),
  on("POST connections/test", Connections.test),
  on("GET connections/:id", Connections.get),
  on("PATCH connections/:id", Connections.patch),
  on("DELETE connections/:id", Connections.deleteConnection),
  on("GET pools", Pools.list),
  on("POST pools", Pools.post),
  on("PATCH pools", Pools.patchBulk),
  on("GET pools/:name", Pools.get),
  on("PATCH pools/:name", Pools.patch),
  on("DELETE pools/:name", Pools.deletePool)
]
