/** The requests that both sides get, in this order: the same ones for every version, except for the fields of a trigger. */
import { randomUUID } from "node:crypto"
import type { HttpResponse } from "../client.js"
import { dags as declared } from "./dags.js"
import { log } from "./logs.js"

/** The response of the same side to an earlier step. */
export type Earlier = (name: string) => HttpResponse

export interface Step {
  readonly name: string
  readonly method: string
  /** Relative to `/api/vN`, or with a leading slash to the root of the site. */
  readonly path: string | ((earlier: Earlier) => string)
  readonly body?: unknown
  readonly headers?: Record<string, string>
  /** Polls until the response is like this. */
  readonly until?: (response: HttpResponse) => boolean
  /** What is compared besides the status and the content type; the whole body by default. */
  readonly view?: (response: HttpResponse) => unknown
}

type More = Omit<Step, "name" | "method" | "path">

const request = (method: string) => (name: string, path: Step["path"], more: More = {}): Step => ({
  name,
  method,
  path,
  ...more
})
const get = request("GET")
const put = request("PUT")
const del = request("DELETE")
const send = (method: string) => (name: string, path: Step["path"], body: unknown, more: More = {}) =>
  request(method)(name, path, { body, ...more })
const post = send("POST")
const patch = send("PATCH")

const accept = (type: string) => ({ headers: { accept: type } })

const encoded = encodeURIComponent

/** Unique for each run of this suite, because the logs of deleted runs stay. */
const mark = `diff-${randomUUID().slice(0, 8)}`

const isEnded = ({ json }: HttpResponse) => json?.state === "success" || json?.state === "failed"

const ids = (list: string, id: string) => ({ json }: HttpResponse): ReadonlyArray<string> | undefined =>
  json?.[list]?.map((item: Record<string, unknown>) => item[id])

/** Only the declared DAGs. Other suites leave stale DAGs behind, whose files they have deleted. */
const includingStale = (response: HttpResponse) =>
  ids("dags", "dag_id")(response)?.filter((id) => declared.some(({ dagId }) => dagId === id))

const counts = (list: string) => ({ json }: HttpResponse) =>
  json?.[list] === undefined ? json : { listed: json[list].length, total: json.total_entries }

/** A run id that the server has generated. In 3.0 it ends with a random suffix. */
const generated = ({ json }: HttpResponse) => ({ ...json, dag_run_id: json?.dag_run_id?.replace(/_\w{8}$/, "_RANDOM") })

/** A list whose order does not matter. */
const sorted = (list: string, ...keys: ReadonlyArray<string>) => ({ json }: HttpResponse) => {
  const keyOf = (item: Record<string, unknown>) => keys.map((key) => String(item[key])).join("/")
  return json?.[list] === undefined
    ? json
    : { ...json, [list]: json[list].toSorted((a: never, b: never) => keyOf(a) < keyOf(b) ? -1 : 1) }
}

export const script = (version: string): ReadonlyArray<Step> => {
  const isThree = version.startsWith("3.")
  const run = (dagId: string, runId = `${mark}-${dagId}`) => `dags/${dagId}/dagRuns/${encoded(runId)}`
  const task = (dagId: string, taskId: string) => `${run(dagId)}/taskInstances/${taskId}`
  const trigger = (name: string, dagId: string, fields: Record<string, unknown>, more: More = {}) =>
    post(
      name,
      `dags/${dagId}/dagRuns`,
      isThree ? { logical_date: null, conf: {}, ...fields } : { conf: {}, ...fields },
      more
    )
  const start = (dagId: string, fields: Record<string, unknown> = {}) =>
    trigger(`trigger ${dagId}`, dagId, { dag_run_id: `${mark}-${dagId}`, ...fields })
  const ended = (dagId: string) => get(`${dagId} ends`, run(dagId), { until: isEnded })
  const fileOf = (name: string) => (earlier: Earlier) => `${name}/${earlier("dag").json.file_token}`
  const tasks = sorted("task_instances", "task_id", "map_index")
  const untried = (response: HttpResponse) => {
    const list = tasks(response)
    return { ...list, task_instances: list.task_instances.map((item: object) => ({ ...item, try_number: "any" })) }
  }

  const site = [
    get("health", isThree ? "monitor/health" : "health"),
    get("health of the other version", isThree ? "/health" : "monitor/health"),
    get("version", "version"),
    get("version of the other version", isThree ? "/api/v1/version" : "/api/v2/version"),
    post("post to the other version", isThree ? "/api/v1/dags/x/dagRuns" : "/api/v2/dags/x/dagRuns", {}),
    get("unknown route", "nope"),
    get("trailing slash", "dags/"),
    get("page of the site", "/nope"),
    put("method not allowed", "variables"),
    get("config", "config", accept("application/json")),
    get("config as something else", "config", accept("image/png")),
    post("login with wrong credentials", "/auth/token", { username: "unknown", password: "obvious-fake" }),
    post("login without a password", "/auth/token", { username: "unknown" }),
    post("login with an extra field", "/auth/token", { username: "unknown", password: "obvious-fake", x: 1 }),
    get("login without a user", "/auth/token")
  ]

  const dags = [
    get("dags", "dags", { view: ids("dags", "dag_id") }),
    get("dags, including stale ones", `dags?${isThree ? "exclude_stale" : "only_active"}=false`, {
      view: includingStale
    }),
    get("dags, two", "dags?limit=2"),
    get("dags, the next two", "dags?limit=2&offset=2&order_by=dag_id"),
    get("dags, backwards", "dags?order_by=-dag_id", { view: ids("dags", "dag_id") }),
    get("dags, a limit of 0", "dags?limit=0", { view: counts("dags") }),
    get("dags, a negative limit", "dags?limit=-1"),
    get("dags, a limit that is not a number", "dags?limit=many"),
    get("dags, an invalid order", "dags?limit=1&order_by=nonsense"),
    get("dags, an unknown query parameter", "dags?limit=1&bogus=1"),
    get("dags with a tag", "dags?tags=marker-v1"),
    get("dags with an unused tag", "dags?tags=nope"),
    get("dags matching a pattern", "dags?dag_id_pattern=xcom", { view: ids("dags", "dag_id") }),
    get("dags, paused", "dags?paused=true", { view: ids("dags", "dag_id") }),
    get("dags, unpaused", "dags?paused=false"),
    get("dags, some fields", "dags?limit=1&fields=dag_id&fields=is_paused"),
    get("dag, one field", "dags/hello_world_dag?fields=dag_id"),
    get("dag", "dags/hello_world_dag"),
    get("dag with an odd id", "dags/odd.id-dag_1"),
    get("dag, missing", "dags/none"),
    get("dag with an import error", "dags/broken_dag"),
    get("dag's details", "dags/hello_world_dag/details"),
    get("dag's details with params", "dags/odd.id-dag_1/details"),
    get("dag's details, missing", "dags/none/details"),
    patch("pause", "dags/hello_world_dag", { is_paused: true }),
    patch("pause with a mask", "dags/hello_world_dag?update_mask=is_paused", { is_paused: true }),
    patch("pause with a wrong mask", "dags/hello_world_dag?update_mask=tags", { is_paused: true }),
    patch("pause and describe", "dags/hello_world_dag", { is_paused: true, description: "x" }),
    patch("pause with a string", "dags/hello_world_dag", { is_paused: "maybe" }),
    patch("pause with nothing", "dags/hello_world_dag", {}),
    patch("pause, missing", "dags/none", { is_paused: true }),
    patch("pause many without a pattern", "dags?limit=1", { is_paused: true }),
    patch("pause all", "dags?dag_id_pattern=~&limit=100", { is_paused: true }, {
      view: ids("dags", "is_paused")
    }),
    get("source as text", isThree ? "dagSources/hello_world_dag" : fileOf("dagSources"), {
      ...accept("text/plain"),
      view: ({ text }) => typeof text
    }),
    get("source as json", isThree ? "dagSources/hello_world_dag" : fileOf("dagSources"), accept("application/json")),
    get("source as something else", isThree ? "dagSources/hello_world_dag" : fileOf("dagSources"), accept("image/png")),
    get("source, missing", "dagSources/none", accept("application/json")),
    get("versions", "dags/hello_world_dag/dagVersions"),
    get("version 1", "dags/hello_world_dag/dagVersions/1"),
    get("version 99", "dags/hello_world_dag/dagVersions/99"),
    get("versions, missing", "dags/none/dagVersions"),
    get("import errors", "importErrors"),
    get("import errors, limited", "importErrors?limit=0", {
      view: counts("import_errors")
    }),
    get("import errors, an invalid order", "importErrors?order_by=nonsense"),
    get("import errors of a file", "importErrors?filename_pattern=broken_dag.py"),
    get("import errors of another file", "importErrors?filename_pattern=nope", {
      view: counts("import_errors")
    }),
    get("import error", (earlier) => `importErrors/${earlier("import errors").json.import_errors[0].import_error_id}`),
    get("import error, missing", "importErrors/99999"),
    get("warnings", "dagWarnings"),
    put("reparse", fileOf("parseDagFile")),
    put("reparse, unknown", "parseDagFile/xyz"),
    get("queued events of a missing dag", `dags/none/${isThree ? "assets/queuedEvents" : "datasets/queuedEvent"}`),
    get("queued events", `dags/hello_world_dag/${isThree ? "assets/queuedEvents" : "datasets/queuedEvent"}`),
    del("queued events, deleted", `dags/hello_world_dag/${isThree ? "assets/queuedEvents" : "datasets/queuedEvent"}`)
  ]

  const long = "r".repeat(260)
  const date = "2024-03-04T05:06:07.000800+00:00"
  const dated = (dagRunId: string, logicalDate: unknown) => ({
    dag_run_id: `${mark}-${dagRunId}`,
    logical_date: logicalDate
  })
  const triggers = [
    start("hello_world_dag"),
    get("queued run of a paused dag", run("hello_world_dag")),
    get("tasks of the queued run", `${run("hello_world_dag")}/taskInstances`),
    get("tasks of the queued run without a state", `${run("hello_world_dag")}/taskInstances?state=none`),
    get("task of the queued run", task("hello_world_dag", "hello")),
    get("log of the queued run, try 0", `${task("hello_world_dag", "hello")}/logs/0`, {
      ...accept("application/json"),
      view: log
    }),
    get("log of the queued run, try 1", `${task("hello_world_dag", "hello")}/logs/1`, {
      ...accept("application/json"),
      view: log
    }),
    trigger("trigger again", "hello_world_dag", { dag_run_id: `${mark}-hello_world_dag` }),
    trigger("trigger without an id", "scheduled_dag", {}, {
      view: generated
    }),
    trigger("trigger with an empty id", "scheduled_dag", { dag_run_id: "" }, {
      view: generated
    }),
    trigger("trigger with a note", "scheduled_dag", { dag_run_id: `${mark}-note`, note: "a note" }),
    trigger("trigger with an odd id", "scheduled_dag", { dag_run_id: `${mark}+00:00~.x` }),
    get("run with an odd id", run("scheduled_dag", `${mark}+00:00~.x`)),
    trigger("trigger with an extra field", "scheduled_dag", { dag_run_id: `${mark}-extra`, bogus: 1 }),
    trigger("trigger in the future", "scheduled_dag", {
      dag_run_id: `${mark}-future`,
      run_after: "2099-01-01T00:00:00+00:00"
    }),
    trigger("trigger with an invalid id", "scheduled_dag", { dag_run_id: "a b/c" }),
    trigger("trigger with an id that is not a string", "scheduled_dag", { dag_run_id: 7 }),
    trigger("trigger with a long id", "scheduled_dag", { dag_run_id: long }),
    trigger("trigger with conf null", "scheduled_dag", { dag_run_id: `${mark}-null`, conf: null }),
    trigger("trigger with a conf that is not an object", "scheduled_dag", { dag_run_id: `${mark}-list`, conf: [1] }),
    trigger("trigger with an invalid conf", "odd.id-dag_1", { dag_run_id: `${mark}-bad`, conf: { count: 0 } }),
    trigger("trigger with a conf of the wrong type", "odd.id-dag_1", {
      dag_run_id: `${mark}-bad`,
      conf: { count: "x" }
    }),
    trigger("trigger with a date", "scheduled_dag", dated("dated", date)),
    trigger("trigger with a date and no id", "scheduled_dag", { logical_date: "2024-03-05T00:00:00+00:00" }),
    trigger("trigger with a date and an interval", "scheduled_dag", {
      ...dated("interval", "2024-03-06T00:00:00+00:00"),
      data_interval_start: "2024-03-05T00:00:00+00:00",
      data_interval_end: "2024-03-06T00:00:00+00:00"
    }),
    trigger("trigger with the same date", "scheduled_dag", dated("dated2", date)),
    trigger("trigger with a date without a zone", "scheduled_dag", dated("naive", "2024-03-04T05:06:07")),
    trigger("trigger with a date null", "scheduled_dag", dated("nulled", null)),
    trigger("trigger with an invalid date", "scheduled_dag", dated("nonsense", "soon")),
    trigger("trigger with half an interval", "scheduled_dag", {
      dag_run_id: `${mark}-half`,
      data_interval_start: date
    }),
    post("trigger with an empty body", "dags/none/dagRuns", {}),
    post("trigger with invalid json", "dags/scheduled_dag/dagRuns", "{nope"),
    post("trigger with a list", "dags/scheduled_dag/dagRuns", [1]),
    post("trigger with plain text", "dags/scheduled_dag/dagRuns", "x", { headers: { "content-type": "text/plain" } }),
    trigger("trigger, unknown", "none", { dag_run_id: mark }),
    trigger("trigger with an import error", "broken_dag", { dag_run_id: mark }),
    patch("unpause", "dags/hello_world_dag", { is_paused: false }),
    patch("unpause failing_dag", "dags/failing_dag", { is_paused: false }),
    patch("unpause mapped_dag", "dags/mapped_dag", { is_paused: false }),
    patch("unpause xcom_dag", "dags/xcom_dag", { is_paused: false }),
    patch("unpause xcom_slash_dag", "dags/xcom_slash_dag", { is_paused: false }),
    patch("unpause odd.id-dag_1", "dags/odd.id-dag_1", { is_paused: false }),
    patch("unpause slow_dag", "dags/slow_dag", { is_paused: false }),
    start("failing_dag"),
    start("mapped_dag"),
    start("xcom_dag"),
    start("xcom_slash_dag"),
    start("odd.id-dag_1", { conf: { count: 1 } })
  ]

  const dagIds = ["hello_world_dag", "failing_dag", "mapped_dag", "xcom_dag", "xcom_slash_dag", "odd.id-dag_1"]
  const runId = isThree ? "run_id" : "dag_run_id"
  const runIds = ids("dag_runs", "dag_run_id")
  /** Leaves out the runs whose ids the server has generated. */
  const marked = (all: ReadonlyArray<string> | undefined) => all?.filter((id) => id.startsWith(mark))
  const runs = [
    ...dagIds.map(ended),
    get("run, missing", run("hello_world_dag", "none")),
    get("run, dag missing", run("none", "none")),
    get("runs", "dags/hello_world_dag/dagRuns"),
    get("runs of every dag", "dags/~/dagRuns?order_by=dag_id&limit=3"),
    get("runs that failed", "dags/~/dagRuns?state=failed", { view: sorted("dag_runs", "dag_id") }),
    get("runs in two states", "dags/~/dagRuns?state=failed&state=success&limit=1", {
      view: counts("dag_runs")
    }),
    get("runs in an invalid state", "dags/~/dagRuns?state=nonsense"),
    get("runs, an invalid order", "dags/hello_world_dag/dagRuns?order_by=nonsense"),
    get(
      "runs since",
      `dags/scheduled_dag/dagRuns?${isThree ? "logical_date" : "execution_date"}_gte=${encoded(date)}`,
      {
        view: (response) => runIds(response)?.includes(`${mark}-dated`)
      }
    ),
    get(
      "runs until",
      `dags/scheduled_dag/dagRuns?${isThree ? "logical_date" : "execution_date"}_lte=${encoded(date)}`,
      {
        view: (response) => [response.json.total_entries, runIds(response)]
      }
    ),
    get("runs, by id", `dags/scheduled_dag/dagRuns?order_by=${runId}`, {
      view: (response) => marked(runIds(response))
    }),
    get("runs, by id, backwards", `dags/scheduled_dag/dagRuns?order_by=-${runId}`, {
      view: (response) => marked(runIds(response))
    }),
    get("runs, a page", `dags/scheduled_dag/dagRuns?order_by=-${runId}&limit=1&offset=1`, {
      view: counts("dag_runs")
    }),
    get("runs, a limit of 0", "dags/scheduled_dag/dagRuns?limit=0", {
      view: counts("dag_runs")
    }),
    get("runs of a missing dag", "dags/none/dagRuns"),
    post("runs, batch", "dags/~/dagRuns/list", {
      dag_ids: ["hello_world_dag", "failing_dag"],
      order_by: "dag_id",
      page_limit: 10
    }),
    post("runs, batch by state", "dags/~/dagRuns/list", { dag_ids: ["failing_dag"], states: ["success"] }),
    post("runs, batch of an unknown dag", "dags/~/dagRuns/list", { dag_ids: ["none"] }),
    post("runs, batch with one item", "dags/~/dagRuns/list", { page_limit: 1, page_offset: 1, order_by: "dag_id" }),
    post("runs, batch with an extra field", "dags/~/dagRuns/list", { bogus: 1 }),
    post("runs, batch below a dag", "dags/hello_world_dag/dagRuns/list", {}),
    patch("run, an invalid state", run("hello_world_dag"), { state: "running" }),
    patch("run, success", run("hello_world_dag"), { state: "success" }),
    patch("run, note", run("hello_world_dag"), { note: "x" }),
    patch("run, queued again", run("odd.id-dag_1"), { state: "queued" }),
    get("run, queued again, ends", run("odd.id-dag_1"), { until: isEnded }),
    patch("run, masked", `${run("hello_world_dag")}?update_mask=note`, { note: "y", state: "failed" }),
    patch("run, missing, patched", run("hello_world_dag", "none"), { state: "failed" }),
    get("stats", "dagStats?dag_ids=hello_world_dag"),
    get("stats of all", "dagStats", { view: ({ json, status }) => status === 200 ? "all" : json }),
    get("wait", `${run("hello_world_dag")}/wait?interval=1`),
    get("wait for a result", `${run("hello_world_dag")}/wait?interval=1&result=hello`),
    get("wait without an interval", `${run("hello_world_dag")}/wait`),
    get("wait, missing", `${run("hello_world_dag", "none")}/wait?interval=1`)
  ]

  const taskCalls = [
    get("tasks", `${run("hello_world_dag")}/taskInstances`),
    // without the number of the try, because a busy Airflow 2 may start a task twice
    get("tasks, mapped", `${run("mapped_dag")}/taskInstances`, { view: untried }),
    get("tasks, failed", `${run("failing_dag")}/taskInstances`, { view: tasks }),
    get("tasks in a state", `${run("failing_dag")}/taskInstances?state=failed`),
    get("tasks in an invalid state", `${run("failing_dag")}/taskInstances?state=nonsense`),
    get("tasks by id", `${run("failing_dag")}/taskInstances?task_id=after`),
    get("tasks in order", `${run("failing_dag")}/taskInstances?order_by=-task_id`),
    get("tasks, a page", `${run("mapped_dag")}/taskInstances?limit=1&offset=1`, {
      view: counts("task_instances")
    }),
    get("tasks of every run", "dags/~/dagRuns/~/taskInstances?state=failed&limit=1", {
      view: counts("task_instances")
    }),
    post("tasks, batch", "dags/~/dagRuns/~/taskInstances/list", {
      dag_ids: ["failing_dag", "mapped_dag"],
      dag_run_ids: [`${mark}-failing_dag`],
      state: ["upstream_failed"]
    }),
    post("tasks, batch of an unknown dag", "dags/~/dagRuns/~/taskInstances/list", { dag_ids: ["none"] }),
    post("tasks, batch with an extra field", "dags/~/dagRuns/~/taskInstances/list", { bogus: 1 }),
    get("tasks of a missing run", `${run("hello_world_dag", "none")}/taskInstances`),
    get("tasks of a run of another dag", `${run("hello_world_dag", `${mark}-mapped_dag`)}/taskInstances`),
    get("tasks of a missing dag", `${run("none", "none")}/taskInstances`),
    get("task", task("hello_world_dag", "hello")),
    get("task with an odd id", task("odd.id-dag_1", "task.with-dots_1")),
    get("task that failed", task("failing_dag", "boom")),
    get("task with a failed upstream task", task("failing_dag", "after")),
    get("task, missing", task("hello_world_dag", "none")),
    get("task, mapped, without an index", task("mapped_dag", "double")),
    get("task, mapped", `${task("mapped_dag", "double")}/1`),
    get("task, an index too high", `${task("mapped_dag", "double")}/9`),
    get("mapped tasks", `${task("mapped_dag", "double")}/listMapped`, { view: tasks }),
    get("mapped tasks of an unmapped task", `${task("mapped_dag", "total")}/listMapped`),
    get("mapped tasks of a missing task", `${task("mapped_dag", "none")}/listMapped`),
    get("tries", `${task("failing_dag", "boom")}/tries`, { view: sorted("task_instances", "try_number") }),
    get("tries of a task that never ran", `${task("failing_dag", "after")}/tries`),
    get("tries, mapped", `${task("mapped_dag", "double")}/1/tries`),
    get("tries, missing", `${task("failing_dag", "none")}/tries`),
    ...([
      ["json", "application/json"],
      ["text", "text/plain"],
      ["lines", "application/x-ndjson"],
      ["page", "text/html"],
      [
        "anything",
        "*/*"
      ]
    ] as const)
      .map(([name, type]) =>
        get(`log as ${name}`, `${task("hello_world_dag", "hello")}/logs/1`, { ...accept(type), view: log })
      ),
    get("log, full content", `${task("hello_world_dag", "hello")}/logs/1?full_content=true`, {
      ...accept("application/json"),
      view: log
    }),
    ...[0, 1, 2, 3].map((number) =>
      get(`log of a failed task, try ${number}`, `${task("failing_dag", "boom")}/logs/${number}`, {
        ...accept(isThree ? "application/json" : "text/plain"),
        view: log
      })
    ),
    ...[0, 1].map((number) =>
      get(
        `log of a task with a failed upstream task, try ${number}`,
        `${task("failing_dag", "after")}/logs/${number}`,
        {
          ...accept("application/json"),
          view: log
        }
      )
    ),
    get("log, mapped", `${task("mapped_dag", "double")}/logs/1?map_index=1`, {
      ...accept("application/json"),
      view: log
    }),
    get("log, mapped, without an index", `${task("mapped_dag", "double")}/logs/1`, accept("application/json")),
    get("log of a missing task", `${task("hello_world_dag", "none")}/logs/1`, accept("application/json")),
    get(
      "log of a missing run",
      `${run("hello_world_dag", "none")}/taskInstances/hello/logs/1`,
      accept("application/json")
    ),
    get("log, an invalid token", `${task("hello_world_dag", "hello")}/logs/1?token=x.y.z`, accept("application/json"))
  ]

  const pushed = `${task("xcom_dag", "push")}/xcomEntries`
  const xcoms = [
    get("xcoms", pushed, { view: sorted("xcom_entries", "key") }),
    get("xcoms with a key", `${pushed}?xcom_key=plain`),
    get("xcoms, a page", `${pushed}?limit=1&offset=1`, {
      view: counts("xcom_entries")
    }),
    get("xcoms of a task without xcoms", `${task("failing_dag", "boom")}/xcomEntries`),
    get("xcoms of a missing task", `${task("xcom_dag", "none")}/xcomEntries`),
    get("xcom", `${pushed}/return_value`),
    get("xcom, native", `${pushed}/return_value?stringify=false`),
    get("xcom, a list", `${pushed}/list?stringify=false`),
    get("xcom, a string", `${pushed}/plain`),
    get("xcom, stringified", `${pushed}/return_value?stringify=true`),
    get("xcom, deserialized", `${pushed}/plain?deserialize=true`),
    get("xcom, missing", `${pushed}/none`),
    get("xcom, mapped", `${task("mapped_dag", "double")}/xcomEntries/return_value?map_index=1`),
    get("xcom, mapped, without an index", `${task("mapped_dag", "double")}/xcomEntries/return_value`),
    get("xcom with a slash", `${task("xcom_slash_dag", "push")}/xcomEntries/with%2Fslash`),
    post("xcom, new", pushed, { key: "made", value: { z: 1 } }),
    post("xcom, again", pushed, { key: "made", value: { z: 1 } }),
    get("xcom, created and read", `${pushed}/made`),
    patch("xcom, patched", `${pushed}/made`, { value: [2] }),
    get("xcom, patched and read", `${pushed}/made`),
    patch("xcom, missing, patched", `${pushed}/none`, { value: 1 }),
    del("xcom, deleted", `${pushed}/made`),
    del("xcom, deleted again", `${pushed}/made`)
  ]

  const key = `${mark} k/1`
  const variables = [
    get("variables, none", "variables"),
    post("variable", "variables", { key, value: "1", description: "d" }),
    post("variable, again", "variables", { key, value: "2" }),
    get("variable, read", `variables/${encoded(key)}`),
    patch("variable, patched", `variables/${encoded(key)}`, { key, value: "3" }),
    get("variable, patched and read", `variables/${encoded(key)}`),
    patch("variable, patched without a key", `variables/${encoded(key)}`, { value: "4" }),
    patch("variable, patched with another key", `variables/${encoded(key)}`, { key: "x", value: "4" }),
    patch("variable, masked", `variables/${encoded(key)}?update_mask=description`, {
      key,
      value: "5",
      description: "e"
    }),
    patch(
      "variable, masked twice",
      `variables/${encoded(key)}?${
        isThree ? "update_mask=value&update_mask=description" : "update_mask=val,description"
      }`,
      { key, value: "6", description: "f" }
    ),
    patch("variable, masked with a comma", `variables/${encoded(key)}?update_mask=value,description`, {
      key,
      value: "7",
      description: "g"
    }),
    patch("variable, missing, patched", "variables/none", { key: "none", value: "1" }),
    post("variable, a secret", "variables", { key: `${mark}_password`, value: "obvious-fake" }),
    get("variable, a secret, read", `variables/${mark}_password`),
    post("variable, an object", "variables", { key: `${mark}-object`, value: { a: 1 } }),
    get("variable, an object, read", `variables/${mark}-object`),
    post("variable, a number", "variables", { key: `${mark}-number`, value: 7 }),
    post("variable, empty", "variables", { key: `${mark}-empty`, value: "" }),
    post("variable, null", "variables", { key: `${mark}-null`, value: null }),
    get("variable, null, read", `variables/${mark}-null`),
    post("variable with an extra field", "variables", { key: `${mark}-extra`, value: "1", bogus: 1 }),
    post("variable without a value", "variables", { key: `${mark}-none` }),
    post("variable without a key", "variables", { value: "1" }),
    get("variables", "variables"),
    get("variables, one", "variables?limit=1&offset=1"),
    get("variables, backwards", "variables?order_by=-key", { view: ids("variables", "key") }),
    get("variables, an invalid order", "variables?order_by=nonsense"),
    del("variable, deleted", `variables/${encoded(key)}`),
    del("variable, deleted again", `variables/${encoded(key)}`),
    get("variable, deleted and read", `variables/${encoded(key)}`),
    patch("variables, bulk", "variables", {
      actions: [
        { action: "create", entities: [{ key: `${mark}-a`, value: "1" }, { key: `${mark}-b`, value: "2" }] },
        { action: "create", entities: [{ key: `${mark}-a`, value: "1" }], action_on_existence: "fail" },
        { action: "create", entities: [{ key: `${mark}-a`, value: "3" }], action_on_existence: "overwrite" },
        { action: "update", entities: [{ key: `${mark}-b`, value: "4" }] },
        { action: "update", entities: [{ key: "none", value: "4" }], action_on_non_existence: "fail" }
      ]
    }),
    patch("variables, bulk deleted", "variables", {
      actions: [
        { action: "delete", entities: [`${mark}-a`, "none"], action_on_non_existence: "skip" },
        { action: "delete", entities: [`${mark}-b`, "none"], action_on_non_existence: "fail" }
      ]
    }),
    patch("variables, bulk of nothing", "variables", { actions: [] }),
    patch("variables, bulk of nonsense", "variables", { actions: [{ action: "paint", entities: [] }] }),
    get("variables, left", "variables", { view: ids("variables", "key") })
  ]

  const connection = {
    connection_id: `${mark}-pg`,
    conn_type: "postgres",
    host: "h",
    login: "u",
    password: "obvious-fake",
    port: 5432,
    schema: "s",
    extra: "{\"api_key\": \"obvious-fake\", \"x\": 1}"
  }
  const connections = [
    get("connections, none", "connections"),
    post("connection", "connections", connection),
    post("connection, again", "connections", connection),
    get("connection, read", `connections/${mark}-pg`),
    post("connection, sparse", "connections", { connection_id: `${mark}-sparse`, conn_type: "http" }),
    get("connections", "connections"),
    get("connections, backwards", "connections?order_by=-connection_id", { view: ids("connections", "connection_id") }),
    get("connections, an invalid order", "connections?order_by=nonsense"),
    patch("connection, patched", `connections/${mark}-pg`, {
      connection_id: `${mark}-pg`,
      conn_type: "postgres",
      host: "h2"
    }),
    patch("connection, masked", `connections/${mark}-pg?update_mask=port`, {
      connection_id: `${mark}-pg`,
      conn_type: "postgres",
      port: 1
    }),
    patch("connection, patched without the required fields", `connections/${mark}-pg`, { host: "h3" }),
    patch("connection with another id", `connections/${mark}-pg`, { connection_id: "x", conn_type: "http" }),
    patch("connection, missing, patched", "connections/none", { connection_id: "none", conn_type: "http" }),
    post("connection, extra an object", "connections", {
      connection_id: `${mark}-o`,
      conn_type: "http",
      extra: { a: 1 }
    }),
    post("connection, extra not json", "connections", {
      connection_id: `${mark}-i`,
      conn_type: "http",
      extra: "not json"
    }),
    post("connection, extra a list", "connections", {
      connection_id: `${mark}-l`,
      conn_type: "http",
      extra: "[1]"
    }),
    get("connection, extra a list, read", `connections/${mark}-l`),
    post("connection with an invalid id", "connections", { connection_id: "a b/c", conn_type: "http" }),
    post("connection without a type", "connections", { connection_id: `${mark}-t` }),
    post("connection with an extra field", "connections", {
      connection_id: `${mark}-e`,
      conn_type: "http",
      bogus: 1
    }),
    post("connection, port a string", "connections", { connection_id: `${mark}-p`, conn_type: "http", port: "x" }),
    post("connection, tested", "connections/test", { connection_id: `${mark}-t`, conn_type: "http" }),
    del("connection, deleted", `connections/${mark}-pg`),
    del("connection, deleted again", `connections/${mark}-pg`),
    get("connection, deleted and read", `connections/${mark}-pg`),
    patch("connections, bulk", "connections", {
      actions: [{ action: "create", entities: [{ connection_id: `${mark}-a`, conn_type: "http" }] }]
    }),
    patch("connections, bulk again", "connections", {
      actions: [
        { action: "create", entities: [{ connection_id: `${mark}-a`, conn_type: "http" }] },
        { action: "delete", entities: [`${mark}-a`, "none"], action_on_non_existence: "skip" },
        { action: "delete", entities: ["none"] }
      ]
    }),
    get("connections, left", "connections", { view: ids("connections", "connection_id") })
  ]

  const pools = [
    get("pools, the default", "pools"),
    patch("default pool with deferred tasks", "pools/default_pool?update_mask=include_deferred", {
      include_deferred: true
    }),
    get("pools, the default with deferred tasks", "pools"),
    patch("default pool without deferred tasks", "pools/default_pool?update_mask=include_deferred", {
      include_deferred: false
    }),
    post("pool", "pools", { name: `${mark}-p`, slots: 2 }),
    post("pool, again", "pools", { name: `${mark}-p`, slots: 2 }),
    post("pool, described", "pools", { name: `${mark} 2`, slots: 1, description: "d", include_deferred: true }),
    post("pool without slots", "pools", { name: `${mark}-none` }),
    post("pool without a name", "pools", { slots: 1 }),
    post("pool with an extra field", "pools", { name: `${mark}-extra`, slots: 1, bogus: 1 }),
    post("pool, slots a string", "pools", { name: `${mark}-word`, slots: "x" }),
    post("pool, negative", "pools", { name: `${mark}-negative`, slots: -2 }),
    post("pool, unlimited", "pools", { name: `${mark}-unlimited`, slots: -1 }),
    get("pools with an unlimited one", "pools?order_by=id"),
    get("pool, unlimited, read", `pools/${mark}-unlimited`),
    del("pool, unlimited, deleted", `pools/${mark}-unlimited`),
    get("pool, read", `pools/${mark}-p`),
    get("pool, missing", "pools/none"),
    get("pools", "pools?order_by=id"),
    get("pools, backwards", "pools?order_by=-name", { view: ids("pools", "name") }),
    get("pools, an invalid order", "pools?order_by=nonsense"),
    patch("pool, masked", `pools/${mark}-p?update_mask=slots`, { slots: 5 }),
    patch("pool, without a mask", `pools/${mark}-p`, { slots: 6 }),
    patch("pool, masked with all fields", `pools/${mark}-p?update_mask=slots`, {
      [isThree ? "pool" : "name"]: `${mark}-p`,
      slots: 7,
      include_deferred: false
    }),
    patch("pool with another name", `pools/${mark}-p?update_mask=slots`, {
      [isThree ? "pool" : "name"]: "x",
      slots: 8
    }),
    patch("pool, missing, patched without a mask", "pools/none", { slots: 6 }),
    patch("pool, missing, patched", "pools/none?update_mask=slots", {
      [isThree ? "pool" : "name"]: "none",
      slots: 7,
      include_deferred: false
    }),
    patch("default pool, slots", "pools/default_pool?update_mask=slots", { slots: 64 }),
    patch("default pool, slots restored", "pools/default_pool?update_mask=slots", { slots: 128 }),
    patch("default pool, renamed", "pools/default_pool", { name: "other", slots: 128 }),
    // with its current description, because Airflow 2 accepts any
    patch("default pool, described", "pools/default_pool", {
      name: "default_pool",
      slots: 128,
      description: "Default pool"
    }),
    del("default pool, deleted", "pools/default_pool"),
    get("pool with a slash", `pools/${encoded("a/b")}`),
    del("pool with a slash, deleted", `pools/${encoded("a/b")}`),
    del("pool, deleted with a content type", `pools/${mark}-p`, {
      headers: { "content-type": "application/json" }
    }),
    del("pool, deleted", `pools/${encoded(`${mark} 2`)}`),
    del("pool, deleted again", `pools/${encoded(`${mark} 2`)}`),
    patch("pools, bulk", "pools", { actions: [{ action: "create", entities: [{ name: `${mark}-a`, slots: 1 }] }] }),
    patch("pools, bulk again", "pools", {
      actions: [
        { action: "create", entities: [{ name: `${mark}-a`, slots: 1 }] },
        { action: "delete", entities: [`${mark}-a`, "none"], action_on_non_existence: "skip" },
        { action: "delete", entities: ["none"] }
      ]
    }),
    get("pools, left", "pools", { view: ids("pools", "name") })
  ]

  const favorites = ["3.1", "3.2", "3.3"].some((minor) => version.startsWith(minor))
    ? [
      post("favorite", "dags/hello_world_dag/favorite", undefined),
      post("favorite, again", "dags/hello_world_dag/favorite", undefined),
      post("favorite, missing", "dags/none/favorite", undefined),
      get("favorites", "dags?is_favorite=true"),
      get("dags that are no favorites", "dags?is_favorite=false", { view: ids("dags", "dag_id") }),
      get("favorite, details", "dags/hello_world_dag/details"),
      post("favorite, unmarked", "dags/hello_world_dag/unfavorite", undefined),
      post("favorite, unmarked again", "dags/hello_world_dag/unfavorite", undefined),
      post("favorite, missing, unmarked", "dags/none/unfavorite", undefined)
    ]
    : []
  const assets = isThree
    // other suites have assets
    ? [get("assets", "assets", { view: ({ json }) => Object.keys(json) })]
    : []

  const user = {
    username: `${mark}-u`,
    email: `${mark}@example.org`,
    first_name: "D",
    last_name: "F",
    password: "obvious-fake",
    roles: [{ name: "Viewer" }]
  }
  const users = [
    post("user", "users", user),
    post("user, again", "users", user),
    post("user with a taken address", "users", { ...user, username: `${mark}-v` }),
    post("user with an unknown role", "users", {
      ...user,
      username: `${mark}-v`,
      email: `${mark}-v@example.org`,
      roles: [{ name: "X" }]
    }),
    get("user, read", `users/${mark}-u`),
    get("user, missing", "users/none"),
    get("users", "users", {
      // a real server has other users, too
      view: (response) => ids("users", "username")(response)?.includes(user.username)
    }),
    del("user, deleted", `users/${mark}-u`),
    del("user, deleted again", `users/${mark}-u`)
  ]

  const slow = task("slow_dag", "sleep")
  const isRunning = ({ json }: HttpResponse) => json?.state === "running"
  /** A task instance gets its rendered fields shortly after it has started. */
  const isRendered = ({ json }: HttpResponse) => Object.keys(json?.rendered_fields ?? {}).length > 0
  const ticks = (response: HttpResponse) => response.text.includes("tick 0")
  const cleared = { dry_run: false, dag_run_id: `${mark}-failing_dag`, task_ids: ["boom"], include_downstream: true }
  const endings = [
    // paused, so that cleared tasks do not start again before they are compared
    patch("pause failing_dag", "dags/failing_dag", { is_paused: true }),
    patch("pause hello_world_dag", "dags/hello_world_dag", { is_paused: true }),
    post("clear, dry", `${run("hello_world_dag")}/clear`, {}),
    post("clear, failed, dry", `${run("failing_dag")}/clear`, { dry_run: true, only_failed: true }),
    post("clear with an extra field", `${run("failing_dag")}/clear`, { bogus: 1 }),
    post("clear, missing", `${run("hello_world_dag", "none")}/clear`, { dry_run: false }),
    post("clear", `${run("hello_world_dag")}/clear`, { dry_run: false }),
    get("run after clearing", run("hello_world_dag")),
    get("task after clearing", task("hello_world_dag", "hello")),
    post("clear tasks, dry", "dags/failing_dag/clearTaskInstances", { ...cleared, dry_run: true }, { view: tasks }),
    post("clear tasks, all succeeded", "dags/mapped_dag/clearTaskInstances", {
      dry_run: true,
      dag_run_id: `${mark}-mapped_dag`
    }),
    post("clear tasks, missing", "dags/none/clearTaskInstances", { dry_run: true }),
    post("clear tasks of a missing run", "dags/failing_dag/clearTaskInstances", { dry_run: true, dag_run_id: "none" }),
    post("clear tasks with an extra field", "dags/failing_dag/clearTaskInstances", { bogus: 1 }),
    post("clear tasks", "dags/failing_dag/clearTaskInstances", { ...cleared, reset_dag_runs: true }, { view: tasks }),
    get("run after clearing tasks", run("failing_dag")),
    get("tasks after clearing tasks", `${run("failing_dag")}/taskInstances`, { view: tasks }),
    start("slow_dag", { conf: { seconds: 600 } }),
    get("slow task runs", slow, { until: (response) => isRunning(response) && isRendered(response) }),
    get("slow run runs", run("slow_dag"), { until: isRunning }),
    get("log while it runs", `${slow}/logs/1`, { ...accept("application/json"), until: ticks, view: log }),
    get("log while it runs, as lines", `${slow}/logs/1`, {
      ...accept(isThree ? "application/x-ndjson" : "text/plain"),
      view: log
    }),
    get("log while it runs, continued at a token", (earlier) => {
      const token: unknown = earlier("log while it runs").json.continuation_token
      return `${slow}/logs/1?token=${encoded(String(token))}`
    }, { ...accept("application/json"), view: ({ json, status }) => status === 200 ? Object.keys(json).sort() : json }),
    get("default pool while it runs", "pools/default_pool"),
    del("dag, deleted while it runs", "dags/slow_dag"),
    patch("run, failed while it runs", run("slow_dag"), { state: "failed" }),
    get("run, failed", run("slow_dag")),
    get("task of the failed run", slow),
    del("task, deleted", task("mapped_dag", "total")),
    del("task, missing, deleted", task("mapped_dag", "none")),
    del("run, deleted", run("mapped_dag")),
    del("run, deleted again", run("mapped_dag")),
    get("run, deleted and read", run("mapped_dag")),
    get("tasks of the deleted run", `${run("mapped_dag")}/taskInstances`),
    del("dag, missing, deleted", "dags/none")
  ]

  return [
    ...site,
    ...dags,
    ...triggers,
    ...runs,
    ...taskCalls,
    ...xcoms,
    ...variables,
    ...connections,
    ...pools,
    ...favorites,
    ...assets,
    ...users,
    ...endings
  ]
}
