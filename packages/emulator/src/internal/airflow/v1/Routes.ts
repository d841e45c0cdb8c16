/** The REST API of Airflow 2 (`/api/v1`), as a table of routes. */
import { Halt, match, type Reply, reply, route } from "../../Http.js"
import * as Health from "../Health.js"
import type { Call } from "../Site.js"
import { html, noRoute, notFoundPage, ok, plainProblem, problem } from "./Answers.js"
import * as Dags from "./Dags.js"
import * as Runs from "./Runs.js"
import * as Store from "./Store.js"
import * as Tasks from "./Tasks.js"

export const handle = (call: Call): Reply => {
  const { headers, method, query, segments, body } = call.request
  if (method === "DELETE" && headers["content-type"]?.includes("json") === true && body === "") {
    return reply(
      400,
      html,
      "<!doctype html>\n<html lang=en>\n<title>400 Bad Request</title>\n<h1>Bad Request</h1>\n<p>The browser (or proxy) sent a request that this server could not understand.</p>\n"
    )
  }
  if (method === "GET" && segments.join("/") === "health") return health(call)
  if (segments[0] !== "api" || segments[1] !== "v1") return notFoundPage()
  const found = match(routes, method, segments.slice(2))
  if (found._tag === "NotFound") return noRoute()
  if (found._tag === "MethodNotAllowed") {
    return plainProblem(405, "Method Not Allowed", "The method is not allowed for the requested URL.")
  }
  const extra = [...query.keys()].filter((name) => !found.route.query.includes(name))
  if (extra.length > 0) return problem(call, 400, null, `Extra query parameter(s) ${extra.join(", ")} not in spec`)
  try {
    return found.route.handle(call, ...found.parameters)
  } catch (error) {
    if (error instanceof Halt) return error.reply
    throw error
  }
}

/** The scheduler parses the files itself. */
const health = (call: Call): Reply => ok(Health.report(call, { status: null, heartbeat: null }))

/** Airflow 2 has no route to a pool with a slash in its name. */
const withoutSlash = (found: (call: Call, name: string) => Reply) => (call: Call, name: string): Reply =>
  name.includes("/") ? noRoute() : found(call, name)

const noEvents = (call: Call, dagId: string): Reply =>
  problem(call, 404, "Queue event not found", `Queue event with dag_id: \`${dagId}\` was not found`)

const untestable =
  "Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it."

const config = (call: Call): Reply =>
  /application\/json|text\/plain|\*\/\*/.test(call.request.headers.accept ?? "")
    ? problem(call, 403, "Forbidden", unexposed)
    : reply(406, html, "")

const unexposed = "Your Airflow administrator chose not to expose the configuration, most likely for security reasons."

const paging = ["limit", "offset", "order_by"]
const dateFilters = ["execution_date", "start_date", "end_date", "updated_at"].flatMap((
  name
) => [`${name}_gte`, `${name}_lte`])
const taskFilters = ["state", "pool", "queue", "executor", "duration_gte", "duration_lte", ...dateFilters]

const dag = "dags/:dagId"
const run = `${dag}/dagRuns/:runId`
const task = `${run}/taskInstances/:taskId`

const routes = [
  route<Call>("GET health", health),
  route<Call>("GET version", ({ deployment }) => ok({ git_version: "", version: deployment.runtime.airflowVersion })),
  route<Call>("GET dags", Dags.list, [...paging, "tags", "only_active", "paused", "fields", "dag_id_pattern"]),
  route<Call>("PATCH dags", Dags.patchMany, [
    "limit",
    "offset",
    "tags",
    "update_mask",
    "only_active",
    "dag_id_pattern"
  ]),
  route<Call>(`GET ${dag}`, Dags.get, ["fields"]),
  route<Call>(`PATCH ${dag}`, Dags.patch, ["update_mask"]),
  route<Call>(`DELETE ${dag}`, Dags.remove),
  route<Call>(`GET ${dag}/details`, Dags.details, ["fields"]),
  route<Call>("GET dagSources/:token", Dags.source),
  route<Call>("PUT parseDagFile/:token", Dags.parse),
  route<Call>("GET importErrors", Dags.importErrors, paging),
  route<Call>("GET importErrors/:id", Dags.importError),
  // pools that do not exist are not modelled, and nothing else is warned of
  route<Call>("GET dagWarnings", () => ok({ dag_warnings: [], total_entries: 0 }), [
    ...paging,
    "dag_id",
    "warning_type"
  ]),
  route<Call>("GET config", config, ["section"]),
  route<Call>("GET dagStats", Runs.stats, ["dag_ids"]),
  // there are no datasets that could queue any
  route<Call>(`GET ${dag}/datasets/queuedEvent`, noEvents, ["before"]),
  route<Call>(`DELETE ${dag}/datasets/queuedEvent`, noEvents, ["before"]),
  route<Call>(`POST ${dag}/dagRuns`, Runs.trigger),
  route<Call>(`GET ${dag}/dagRuns`, Runs.list, [...paging, "state", "fields", ...dateFilters]),
  route<Call>("POST dags/~/dagRuns/list", Runs.batch),
  route<Call>(`GET ${run}`, Runs.get, ["fields"]),
  route<Call>(`PATCH ${run}`, Runs.patch),
  route<Call>(`DELETE ${run}`, Runs.remove),
  route<Call>(`POST ${run}/clear`, Runs.clear),
  route<Call>(`POST ${dag}/clearTaskInstances`, Runs.clearTasks),
  route<Call>(`GET ${run}/taskInstances`, Tasks.list, ["limit", "offset", ...taskFilters]),
  route<Call>("POST dags/~/dagRuns/~/taskInstances/list", Tasks.batch),
  route<Call>(`GET ${task}`, Tasks.get),
  route<Call>(`GET ${task}/listMapped`, Tasks.listMapped, [...paging, ...taskFilters]),
  route<Call>(`GET ${task}/tries`, Tasks.tries, paging),
  route<Call>(`GET ${task}/xcomEntries`, Tasks.listXComs, ["limit", "offset", "map_index", "xcom_key"]),
  route<Call>(`GET ${task}/xcomEntries/:key`, Tasks.getXCom, ["map_index", "deserialize", "stringify"]),
  route<Call>(`GET ${task}/:mapIndex`, Tasks.get),
  route<Call>(`GET ${task}/:mapIndex/tries`, Tasks.tries, paging),
  route<Call>(`GET ${task}/logs/:attempt`, Tasks.log, ["full_content", "map_index", "token"]),
  route<Call>("GET variables", Store.listVariables, paging),
  route<Call>("POST variables", Store.postVariable),
  route<Call>("GET variables/:key", Store.getVariable),
  route<Call>("PATCH variables/:key", Store.patchVariable, ["update_mask"]),
  route<Call>("DELETE variables/:key", Store.deleteVariable),
  route<Call>("GET connections", Store.listConnections, paging),
  route<Call>("POST connections", Store.postConnection),
  route<Call>("POST connections/test", () => reply(403, html, untestable)),
  route<Call>("GET connections/:id", Store.showConnection),
  route<Call>("PATCH connections/:id", Store.patchConnection, ["update_mask"]),
  route<Call>("DELETE connections/:id", Store.deleteConnection),
  route<Call>("GET pools", Store.listPools, paging),
  route<Call>("POST pools", Store.postPool),
  route<Call>("GET pools/:name", withoutSlash(Store.showPool)),
  route<Call>("PATCH pools/:name", Store.patchPool, ["update_mask"]),
  route<Call>("DELETE pools/:name", withoutSlash(Store.deletePool)),
  route<Call>("GET users", Store.listUsers, paging),
  route<Call>("POST users", Store.postUser),
  route<Call>("GET users/:username", (call, username) => Store.withUser(call, username, ok)),
  route<Call>("DELETE users/:username", Store.deleteUser)
]
