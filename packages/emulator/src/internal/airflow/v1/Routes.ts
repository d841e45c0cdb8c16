/** The REST API of Airflow 2 (`/api/v1`). */
import { catchHalt, match, type Response, response, route } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Health from "../Health.js"
import * as Connections from "./Connections.js"
import * as Dags from "./Dags.js"
import * as Pools from "./Pools.js"
import { html, noRoute, notFoundPage, ok, plainProblem, problem } from "./Responses.js"
import * as Runs from "./Runs.js"
import * as Tasks from "./Tasks.js"
import * as Users from "./Users.js"
import * as Variables from "./Variables.js"

export const handle = (call: Call): Response => {
  const { headers, method, query, segments, body } = call.request
  if (method === "DELETE" && headers["content-type"]?.includes("json") === true && body === "") {
    return response(
      400,
      html,
      "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n<p>The browser (or proxy) sent a request that this server could not understand.</p>\n"
    )
  }
  if (method === "GET" && segments.join("/") === "health") return health(call)
  if (segments[0] !== "api" || segments[1] !== "v1") return notFoundPage()
  const redirected = mergedSlashes(call)
  if (redirected !== undefined) {
    return response(308, html, "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n", {
      location: redirected
    })
  }
  const found = match(routes, method, segments.slice(2))
  if (found._tag === "NotFound") return noRoute()
  if (found._tag === "MethodNotAllowed") {
    return plainProblem(405, "Method Not Allowed", "The method is not allowed for the requested URL.")
  }
  const extra = [...query.keys()].filter((name) => !found.route.query.includes(name))
  if (extra.length > 0) return problem(call, 400, null, `Extra query parameter(s) ${extra.join(", ")} not in spec`)
  return catchHalt(() => found.route.handle(call, ...found.parameters))
}

/**
 * Airflow 2 decodes the path before it looks for a route. A name that begins with a slash makes two slashes in a row, and
 * the redirect has one.
 */
const mergedSlashes = ({ request: { segments, target } }: Call): string | undefined =>
  segments.some((segment) => /^%2f/i.test(segment))
    ? target.replace(/^[^?]*/, (path) => path.replaceAll(/%2f/gi, "/").replaceAll(/\/{2,}/g, "/"))
    : undefined

/** There is no DAG processor, because the scheduler parses the files itself. */
const health = (call: Call): Response => ok(Health.report(call, Health.absent))

/** Airflow 2 has no route to a pool with a slash in its name. */
const withoutSlash = (handle: (call: Call, name: string) => Response) => (call: Call, name: string): Response =>
  name.includes("/") ? noRoute() : handle(call, name)

/** There are no datasets, so that no event is ever queued. */
const noEvents = (call: Call, dagId: string): Response =>
  problem(call, 404, "Queue event not found", `Queue event with dag_id: \`${dagId}\` was not found`)

const testConnection = (): Response =>
  response(
    403,
    html,
    "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it."
  )

const config = (call: Call): Response =>
  /application\/json|text\/plain|\*\/\*/.test(call.request.headers.accept ?? "")
    ? problem(call, 403, "Forbidden", notExposed)
    : response(406, html, "")

const notExposed = "Your Airflow administrator chose not to expose the configuration, most likely for security reasons."

const paging = ["limit", "offset", "order_by"]
const dateFilters = ["execution_date", "start_date", "end_date", "updated_at"]
  .flatMap((name) => [`${name}_gte`, `${name}_lte`])
const taskFilters = ["state", "pool", "queue", "executor", "duration_gte", "duration_lte", ...dateFilters]

const dag = "dags/:dagId"
const run = `${dag}/dagRuns/:runId`
const task = `${run}/taskInstances/:taskId`

const routes = [
  route<Call>("GET health", health),
  route<Call>("GET version", ({ deployment }) => ok({ git_version: "", version: deployment.runtime.airflowVersion })),
  route<Call>("GET dags", Dags.list, [...paging, "tags", "only_active", "paused", "fields", "dag_id_pattern"]),
  route<Call>("PATCH dags", Dags.patchList, [
    "limit",
    "offset",
    "tags",
    "update_mask",
    "only_active",
    "dag_id_pattern"
  ]),
  route<Call>(`GET ${dag}`, Dags.get, ["fields"]),
  route<Call>(`PATCH ${dag}`, Dags.patch, ["update_mask"]),
  route<Call>(`DELETE ${dag}`, Dags.deleteDag),
  route<Call>(`GET ${dag}/details`, Dags.getDetails, ["fields"]),
  route<Call>("GET dagSources/:token", Dags.getSource),
  route<Call>("PUT parseDagFile/:token", Dags.requestParse),
  route<Call>("GET importErrors", Dags.listImportErrors, paging),
  route<Call>("GET importErrors/:id", Dags.getImportError),
  // Airflow warns only of missing pools, and the emulated DAGs cannot name a pool
  route<Call>("GET dagWarnings", () => ok({ dag_warnings: [], total_entries: 0 }), [
    ...paging,
    "dag_id",
    "warning_type"
  ]),
  route<Call>("GET config", config, ["section"]),
  route<Call>("GET dagStats", Runs.getStats, ["dag_ids"]),
  route<Call>(`GET ${dag}/datasets/queuedEvent`, noEvents, ["before"]),
  route<Call>(`DELETE ${dag}/datasets/queuedEvent`, noEvents, ["before"]),
  route<Call>(`POST ${dag}/dagRuns`, Runs.trigger),
  route<Call>(`GET ${dag}/dagRuns`, Runs.list, [...paging, "state", "fields", ...dateFilters]),
  route<Call>("POST dags/~/dagRuns/list", Runs.listBatch),
  route<Call>(`GET ${run}`, Runs.get, ["fields"]),
  route<Call>(`PATCH ${run}`, Runs.patch),
  route<Call>(`DELETE ${run}`, Runs.deleteRun),
  route<Call>(`POST ${run}/clear`, Runs.clear),
  route<Call>(`POST ${dag}/clearTaskInstances`, Runs.clearTasks),
  route<Call>(`GET ${run}/taskInstances`, Tasks.list, ["limit", "offset", ...taskFilters]),
  route<Call>("POST dags/~/dagRuns/~/taskInstances/list", Tasks.listBatch),
  route<Call>(`GET ${task}`, Tasks.get),
  route<Call>(`GET ${task}/listMapped`, Tasks.listMapped, [...paging, ...taskFilters]),
  route<Call>(`GET ${task}/tries`, Tasks.listTries, paging),
  route<Call>(`GET ${task}/xcomEntries`, Tasks.listXComs, ["limit", "offset", "map_index", "xcom_key"]),
  route<Call>(`GET ${task}/xcomEntries/:key`, Tasks.getXCom, ["map_index", "deserialize", "stringify"]),
  route<Call>(`GET ${task}/:mapIndex`, Tasks.get),
  route<Call>(`GET ${task}/:mapIndex/tries`, Tasks.listTries, paging),
  route<Call>(`GET ${task}/logs/:attempt`, Tasks.getLog, ["full_content", "map_index", "token"]),
  route<Call>("GET variables", Variables.list, paging),
  route<Call>("POST variables", Variables.post),
  route<Call>("GET variables/:key", Variables.get),
  route<Call>("PATCH variables/:key", Variables.patch, ["update_mask"]),
  route<Call>("DELETE variables/:key", Variables.deleteVariable),
  route<Call>("GET connections", Connections.list, paging),
  route<Call>("POST connections", Connections.post),
  route<Call>("POST connections/test", testConnection),
  route<Call>("GET connections/:id", Connections.get),
  route<Call>("PATCH connections/:id", Connections.patch, ["update_mask"]),
  route<Call>("DELETE connections/:id", Connections.deleteConnection),
  route<Call>("GET pools", Pools.list, paging),
  route<Call>("POST pools", Pools.post),
  route<Call>("GET pools/:name", withoutSlash(Pools.get)),
  route<Call>("PATCH pools/:name", Pools.patch, ["update_mask"]),
  route<Call>("DELETE pools/:name", withoutSlash(Pools.deletePool)),
  route<Call>("GET users", Users.list, paging),
  route<Call>("POST users", Users.post),
  route<Call>("GET users/:username", Users.get),
  route<Call>("DELETE users/:username", Users.deleteUser)
]
