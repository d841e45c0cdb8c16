/** The REST API of Airflow 3 (`/api/v2`), as a table of routes. */
import { Halt, match, type Reply, reply, type Route, route } from "../../Http.js"
import * as Health from "../Health.js"
import * as Python from "../Python.js"
import type { Call } from "../Site.js"
import { isAtLeast } from "../Version.js"
import * as Answers from "./Answers.js"
import * as Dags from "./Dags.js"
import * as Runs from "./Runs.js"
import * as Store from "./Store.js"
import * as Tasks from "./Tasks.js"

export const handle = (call: Call): Reply => compressed(call, answer(call))

const answer = (call: Call): Reply => {
  const { method, segments } = call.request
  try {
    const [first, second, ...rest] = segments
    if (first === "api" && second === "v2") return find(call, routes, rest)
    if (first === "auth" && second === "token") return find(call, logins, segments.slice(1))
    if (method !== "GET") return Answers.methodNotAllowed()
    if (first === "api" && second === "v1") return Answers.json(404, { error: removed })
    if (first === "api") return Answers.noRoute()
    if (first === "health") return Answers.json(404, { error: moved })
    return userInterface()
  } catch (error) {
    if (error instanceof Halt) return error.reply
    throw error
  }
}

const removed = "/api/v1 has been removed in Airflow 3, please use its upgraded version /api/v2 instead."

const moved = "Moved in Airflow 3. Please change config to check `/api/v2/monitor/health`"

/** What GET does not find is looked for in the user interface, so that no other method is allowed anywhere. */
const find = (call: Call, table: ReadonlyArray<Since>, segments: ReadonlyArray<string>): Reply => {
  const { method } = call.request
  const known = table.filter(({ since }) => isAtLeast(call.version, since)).map((entry) => entry.route)
  const found = match(known, method, segments)
  if (found._tag === "Found") return found.route.handle(call, ...found.parameters)
  return method === "GET" && found._tag === "NotFound" ? Answers.noRoute() : Answers.methodNotAllowed()
}

/** Every path that the server does not know belongs to the single page. */
const userInterface = (): Reply =>
  reply(
    200,
    "text/html; charset=utf-8",
    "<!doctype html>\n<html lang=\"en\">\n  <head>\n    <title>Airflow</title>\n  </head>\n  <body>\n    <div id=\"root\"></div>\n  </body>\n</html>\n"
  )

/** Whatever its size; what grows is held back to its end before 3.3. */
const compressed = (call: Call, reply: Reply): Reply => {
  const accepted = call.request.headers["accept-encoding"] ?? ""
  if (!/\bgzip\b/.test(String(accepted))) return reply
  const grows = typeof reply.body !== "string"
  return { ...reply, gzip: grows && isAtLeast(call.version, "3.3") ? "streamed" : "whole" }
}

/** Nobody has an account: Astro's ingress has let the caller in. */
const login = (call: Call): Reply => {
  const isForm = call.request.headers["content-type"]?.includes("x-www-form-urlencoded") === true
  if (!isForm || !isAtLeast(call.version, "3.1")) {
    const known = { username: Answers.required(Answers.text), password: Answers.required(Answers.text) }
    const flaws = Answers.flawsOf(Answers.objectBody(call), known)
    if (flaws.length > 0) return Answers.failure(422, isAtLeast(call.version, "3.1") ? printed(flaws) : flaws)
  }
  return Answers.failure(401, "Invalid credentials")
}

/** As pydantic prints what is wrong. */
const printed = (flaws: ReturnType<typeof Answers.flawsOf>): string => {
  const lines = flaws.map(({ input, loc, msg, type }) =>
    `${loc.at(-1)}\n  ${msg} [type=${type}, input_value=${Python.repr(input)}, input_type=${Python.typeOf(input)}]\n` +
    `    For further information visit https://errors.pydantic.dev/2.13/v/${type}`
  )
  return [`${lines.length} validation error${lines.length === 1 ? "" : "s"} for LoginBody`, ...lines].join("\n")
}

const noLogin = (): Reply =>
  Answers.failure(403, "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True")

const unexposed = "Your Airflow administrator chose not to expose the configuration, most likely for security reasons."

const config = (call: Call): Reply =>
  /application\/json|text\/plain|\*\/\*/.test(call.request.headers.accept ?? "*/*")
    ? Answers.failure(403, unexposed)
    : Answers.failure(406, "Only application/json or text/plain is supported")

/** There are no assets that could queue any. */
const noEvents = (_: Call, dagId: string): Reply =>
  Answers.failure(404, `Queue event with dag_id: \`${dagId}\` was not found`)

const listNoEvents = (call: Call, dagId: string): Reply =>
  isAtLeast(call.version, "3.1") ? Answers.ok({ queued_events: [], total_entries: 0 }) : noEvents(call, dagId)

const health = (call: Call): Reply => Answers.ok(Health.report(call, Health.of(call, "dagProcessor")))

interface Since {
  readonly since: string
  readonly route: Route<Call>
}

const on = (spec: string, handle: Route<Call>["handle"], since = "3.0"): Since => ({
  since,
  route: route(spec, handle)
})

const logins = [on("POST token", login), on("POST token/cli", login), on("GET token", noLogin)]

const dag = "dags/:dagId"
const run = `${dag}/dagRuns/:runId`
const task = `${run}/taskInstances/:taskId`
const xcom = `${task}/xcomEntries/:key`

const clearRun = (call: Call, dagId: string, runId: string): Reply =>
  Runs.clear(call, dagId, runId, (instances) => Answers.ok(Tasks.collection(call, instances)))

const routes: ReadonlyArray<Since> = [
  on("GET version", ({ deployment }) => Answers.ok({ version: deployment.runtime.airflowVersion, git_version: "" })),
  on("GET monitor/health", health),
  on("GET dags", Dags.list),
  on("PATCH dags", Dags.patchMany),
  on(`GET ${dag}`, Dags.get),
  on(`PATCH ${dag}`, Dags.patch),
  on(`DELETE ${dag}`, Dags.remove),
  on(`GET ${dag}/details`, Dags.details),
  on(`GET ${dag}/dagVersions`, Dags.versions),
  on(`GET ${dag}/dagVersions/:number`, Dags.version),
  on("GET dagSources/:dagId", Dags.source),
  on("PUT parseDagFile/:token", Dags.parse),
  on("GET importErrors", Dags.importErrors),
  on("GET importErrors/:id", Dags.importError),
  // pools that do not exist are not modelled, and nothing else is warned of
  on("GET dagWarnings", () => Answers.ok({ dag_warnings: [], total_entries: 0 })),
  on("GET dagStats", Dags.stats),
  on("GET config", config),
  on(`GET ${dag}/assets/queuedEvents`, listNoEvents),
  on(`DELETE ${dag}/assets/queuedEvents`, noEvents),
  on(`POST ${dag}/dagRuns`, Runs.trigger),
  on(`GET ${dag}/dagRuns`, Runs.list),
  on(`POST ${dag}/dagRuns/list`, Runs.batch),
  on(`GET ${run}`, Runs.get),
  on(`PATCH ${run}`, Runs.patch),
  on(`DELETE ${run}`, Runs.remove),
  on(`POST ${run}/clear`, clearRun),
  on(`GET ${run}/wait`, Runs.wait, "3.1"),
  on(`POST ${dag}/clearTaskInstances`, Tasks.clear),
  on(`GET ${run}/taskInstances`, Tasks.list),
  on("POST dags/~/dagRuns/~/taskInstances/list", Tasks.batch),
  on(`GET ${task}`, Tasks.get),
  on(`DELETE ${task}`, Tasks.remove, "3.1"),
  on(`GET ${task}/listMapped`, Tasks.listMapped),
  on(`GET ${task}/tries`, Tasks.tries),
  on(`GET ${task}/xcomEntries`, Tasks.listXComs),
  on(`POST ${task}/xcomEntries`, Tasks.postXCom),
  on(`GET ${xcom}`, Tasks.withoutSlash(Tasks.getXCom)),
  on(`PATCH ${xcom}`, Tasks.patchXCom),
  on(`DELETE ${xcom}`, Tasks.removeXCom, "3.2"),
  on(`GET ${task}/logs/:attempt`, Tasks.log),
  on(`GET ${task}/:mapIndex`, Tasks.get),
  on(`GET ${task}/:mapIndex/tries`, Tasks.tries),
  on("GET variables", Store.listVariables),
  on("POST variables", Store.postVariable),
  on("PATCH variables", Store.bulkVariables),
  on("GET variables/:key", Store.getVariable),
  on("PATCH variables/:key", Store.patchVariable),
  on("DELETE variables/:key", Store.deleteVariable),
  on("GET connections", Store.listConnections),
  on("POST connections", Store.postConnection),
  on("PATCH connections", Store.bulkConnections),
  on("POST connections/test", Store.testConnection),
  on("GET connections/:id", Store.getConnection),
  on("PATCH connections/:id", Store.patchConnection),
  on("DELETE connections/:id", Store.deleteConnection),
  on("GET pools", Store.listPools),
  on("POST pools", Store.postPool),
  on("PATCH pools", Store.bulkPools),
  on("GET pools/:name", Store.getPool),
  on("PATCH pools/:name", Store.patchPool),
  on("DELETE pools/:name", Store.deletePool)
]
