/**
 * An Airflow in memory: DAGs declared as data, no socket.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Airflow, DagRun, RunState, TaskInstance } from "../../Airflow.js"
import { AirflowApiError } from "../../Airflow.js"
import { DeploymentProvider } from "../../DeploymentProvider.js"
import { awaitRun } from "./awaitRun.js"
import type { Helpers } from "./helpers.js"
import * as RunId from "./runId.js"

export interface MemoryTask {
  readonly taskId: string
  readonly log: string
  /** Default: no time. */
  readonly duration?: Duration.DurationInput | undefined
  /** Default: `success`. */
  readonly outcome?: "success" | "failed" | undefined
}

/** Its tasks run one after the other; after one that failed, the others are `upstream_failed`. */
export interface MemoryDag {
  readonly dagId: string
  readonly tasks: ReadonlyArray<MemoryTask>
}

interface Run {
  readonly dagId: string
  readonly runId: string
  /** When it was triggered or its DAG was unpaused, whichever came last. */
  readonly startedAt: number | undefined
  /** Ended by hand, whatever its tasks were about. */
  readonly set: { readonly state: RunState; readonly at: number } | undefined
}

interface State {
  readonly unpaused: Set<string>
  readonly runs: Map<string, Run>
  readonly variables: Map<string, string>
  readonly connections: Set<string>
  readonly pools: Map<string, number>
  readonly users: Set<string>
}

const helloWorld: ReadonlyArray<MemoryDag> = [{
  dagId: "hello_world_dag",
  tasks: [{ taskId: "hello", log: "Hello World from Airflow" }]
}]

export const make = (dags: ReadonlyArray<MemoryDag> = helloWorld) =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const provider = yield* DeploymentProvider
    const states = new Map<string, State>()
    return (baseUrl: string) =>
      airflow(baseUrl, dags, provider, stateOf(states, baseUrl), () => clock.unsafeCurrentTimeMillis())
  })

const stateOf = (states: Map<string, State>, baseUrl: string): State => {
  const known = states.get(baseUrl) ?? {
    unpaused: new Set(),
    runs: new Map(),
    variables: new Map(),
    connections: new Set(),
    pools: new Map([["default_pool", 128]]),
    users: new Set()
  }
  states.set(baseUrl, known)
  return known
}

const airflow = (
  baseUrl: string,
  dags: ReadonlyArray<MemoryDag>,
  provider: typeof DeploymentProvider.Service,
  state: State,
  now: () => number
): Omit<Airflow, keyof Helpers> => {
  const fail = (kind: AirflowApiError["kind"], operation: string, detail: string) =>
    new AirflowApiError({ kind, operation, detail, remedy: "This Airflow is in memory." })

  /** Answers only while the deployment is awake. */
  const awake = <A, E>(operation: string, answer: () => Effect.Effect<A, E>): Effect.Effect<A, E | AirflowApiError> =>
    provider.list.pipe(
      Effect.mapError((error) => fail("unreachable", operation, error.detail)),
      Effect.flatMap((all): Effect.Effect<A, E | AirflowApiError> =>
        all.some((deployment) => deployment.airflowUrl === baseUrl && deployment.isAwake)
          ? answer()
          : fail("unreachable", operation, "its deployment is not awake")
      )
    )
  const read = <A>(operation: string, answer: () => A) => awake(operation, () => Effect.sync(answer))

  const dagOf = (dagId: string, operation: string) => {
    const dag = dags.find((dag) => dag.dagId === dagId)
    return dag === undefined ? fail("notFound", operation, `there is no DAG ${dagId}`) : Effect.succeed(dag)
  }
  const runOf = (dagId: string, runId: string, operation: string) => {
    const run = state.runs.get(`${dagId}/${runId}`)
    return run === undefined
      ? fail("notFound", operation, `there is no run ${runId} of ${dagId}`)
      : Effect.succeed(run)
  }

  /** The tasks, and when the last of them ended. What was ended by hand stays as it was at that moment. */
  const play = (run: Run) => {
    const until = run.set?.at ?? now()
    let start = run.startedAt ?? Infinity
    let failed = false
    const tasks = (dags.find(({ dagId }) => dagId === run.dagId)?.tasks ?? []).map((task): TaskInstance => {
      const instance = (state: string, tryNumber: number) => ({ taskId: task.taskId, mapIndex: -1, state, tryNumber })
      if (failed) return instance("upstream_failed", 0)
      const end = start + Duration.toMillis(task.duration ?? 0)
      const begun = start <= until
      start = end
      if (end > until) return begun ? instance(run.set?.state ?? "running", 1) : instance("none", 0)
      failed = task.outcome === "failed"
      return instance(failed ? "failed" : "success", 1)
    })
    const state: RunState = run.set !== undefined
      ? run.set.state
      : run.startedAt === undefined
      ? "queued"
      : start > until
      ? "running"
      : failed
      ? "failed"
      : "success"
    return { tasks, state, endedAt: state === "queued" || state === "running" ? undefined : run.set?.at ?? start }
  }
  const timeOf = (at: number | undefined) => Option.map(Option.fromNullable(at), DateTime.unsafeMake)
  const view = (run: Run): DagRun => {
    const { endedAt, state } = play(run)
    return { dagId: run.dagId, runId: run.runId, state, startedAt: timeOf(run.startedAt), endedAt: timeOf(endedAt) }
  }
  const run = (dagId: string, runId: string) =>
    awake(`read the run ${runId}`, () => Effect.map(runOf(dagId, runId, `read the run ${runId}`), view))
  const setPaused = (dagId: string, isPaused: boolean) => {
    if (isPaused) return void state.unpaused.delete(dagId)
    state.unpaused.add(dagId)
    for (const [key, queued] of state.runs) {
      if (queued.dagId === dagId && queued.startedAt === undefined) {
        state.runs.set(key, { ...queued, startedAt: now() })
      }
    }
  }
  const dagView = ({ dagId }: MemoryDag) => ({ dagId, isPaused: !state.unpaused.has(dagId), isActive: true, tags: [] })
  const dag = (dagId: string) =>
    awake(`read the DAG ${dagId}`, () => Effect.map(dagOf(dagId, `read the DAG ${dagId}`), dagView))
  const taskInstances = (dagId: string, runId: string) =>
    awake(
      `list the tasks of ${runId}`,
      () => Effect.map(runOf(dagId, runId, `list the tasks of ${runId}`), (run) => play(run).tasks)
    )
  const health = read("read the health", () => ({
    metadatabase: "healthy",
    scheduler: { status: "healthy", heartbeat: Option.some(DateTime.unsafeMake(now())) },
    triggerer: Option.none(),
    dagProcessor: Option.none()
  }))

  return {
    baseUrl,
    apiUrl: `${baseUrl}/api/v1`,
    version: read("read the version", () => "2.11.0"),
    health,
    importErrors: read("list import errors", () => []),
    dags: read("list DAGs", () => dags.map(dagView)),
    dag,
    setPaused: (dagId, isPaused) =>
      awake(
        `pause or unpause ${dagId}`,
        () => Effect.map(dagOf(dagId, `pause or unpause ${dagId}`), () => setPaused(dagId, isPaused))
      ),
    pauseAll: read("pause all DAGs", () => state.unpaused.clear()),
    trigger: (dagId, options = {}) =>
      awake(`trigger ${dagId}`, () =>
        Effect.map(
          Effect.zipRight(dagOf(dagId, `trigger ${dagId}`), RunId.choose(dagId, options.runId)),
          (runId) => {
            const key = `${dagId}/${runId}`
            const startedAt = state.unpaused.has(dagId) ? now() : undefined
            const triggered = state.runs.get(key) ?? { dagId, runId, startedAt, set: undefined }
            state.runs.set(key, triggered)
            return view(triggered)
          }
        )),
    runs: (dagId) =>
      read(
        "list runs",
        () => Array.from(state.runs.values()).filter((run) => dagId === undefined || run.dagId === dagId).map(view)
      ),
    run,
    awaitRun: (dagId, runId, options = {}) =>
      awaitRun({ dag, health, run, taskInstances }, dagId, runId, options.timeout),
    setRunState: (dagId, runId, wanted) =>
      awake(
        `set the run ${runId}`,
        () =>
          Effect.map(runOf(dagId, runId, `set the run ${runId}`), (run) =>
            void state.runs.set(`${dagId}/${runId}`, { ...run, set: { state: wanted, at: now() } }))
      ),
    deleteRun: (dagId, runId) => read(`delete the run ${runId}`, () => void state.runs.delete(`${dagId}/${runId}`)),
    taskInstances,
    taskLog: (dagId, runId, taskId) => {
      const operation = `read the log of ${taskId}`
      return awake(operation, () =>
        Effect.flatMap(runOf(dagId, runId, operation), (run) => {
          const task = dags.find((dag) => dag.dagId === dagId)?.tasks.find((task) => task.taskId === taskId)
          const began = play(run).tasks.some((instance) => instance.taskId === taskId && instance.tryNumber > 0)
          if (task === undefined) return fail("notFound", operation, `${dagId} has no task ${taskId}`)
          return Effect.succeed(began ? task.log : "")
        }))
    },
    variables: read("list variables", () => Array.from(state.variables.keys())),
    setVariable: (key, value) => read(`set the variable ${key}`, () => void state.variables.set(key, value)),
    deleteVariable: (key) => read(`delete the variable ${key}`, () => void state.variables.delete(key)),
    connections: read("list connections", () => Array.from(state.connections)),
    createConnection: ({ id }) =>
      awake(`create the connection ${id}`, () =>
        state.connections.has(id)
          ? fail("conflict", `create the connection ${id}`, "it exists")
          : Effect.sync(() => void state.connections.add(id))),
    deleteConnection: (id) => read(`delete the connection ${id}`, () => void state.connections.delete(id)),
    pools: read("list pools", () => Array.from(state.pools, ([name, slots]) => ({ name, slots }))),
    createPool: ({ name, slots }) =>
      awake(`create the pool ${name}`, () =>
        state.pools.has(name)
          ? fail("conflict", `create the pool ${name}`, "it exists")
          : Effect.sync(() => void state.pools.set(name, slots))),
    deletePool: (name) =>
      awake(`delete the pool ${name}`, () =>
        name === "default_pool"
          ? fail("badRequest", `delete the pool ${name}`, "it cannot be deleted")
          : Effect.sync(() => void state.pools.delete(name))),
    setPoolSlots: (name, slots) =>
      awake(`set the slots of ${name}`, () =>
        state.pools.has(name)
          ? Effect.sync(() => void state.pools.set(name, slots))
          : fail("notFound", `set the slots of ${name}`, "there is no such pool")),
    createUser: ({ username }) =>
      read(`create the user ${username}`, () => {
        if (state.users.has(username)) return "exists"
        state.users.add(username)
        return "created"
      })
  }
}
