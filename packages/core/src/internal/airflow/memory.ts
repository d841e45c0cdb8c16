/**
 * An Airflow in memory: DAGs declared as data, no socket.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Airflow, DagRun, RunState, TaskInstance } from "../../Airflow.js"
import { AirflowApiError, RunStuck } from "../../Airflow.js"
import { DeploymentProvider } from "../../DeploymentProvider.js"
import * as schedules from "../schedules.js"
import type { Helpers } from "./helpers.js"

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
  /** Set by hand. */
  readonly state: RunState | undefined
}

interface State {
  readonly unpaused: Set<string>
  readonly runs: Map<string, Run>
  readonly variables: Map<string, string>
  readonly connections: Set<string>
  readonly pools: Map<string, number>
  readonly users: Set<string>
  /** Makes run ids unique for ever. */
  count: number
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
    users: new Set(),
    count: 0
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
    const run = state.runs.get(runId)
    return run === undefined || run.dagId !== dagId
      ? fail("notFound", operation, `there is no run ${runId} of ${dagId}`)
      : Effect.succeed(run)
  }

  const tasksOf = (run: Run): ReadonlyArray<TaskInstance> => {
    let start = run.startedAt
    let failed = run.state === "failed"
    return (dags.find(({ dagId }) => dagId === run.dagId)?.tasks ?? []).map((task) => {
      const instance = (name: string) => ({
        taskId: task.taskId,
        mapIndex: -1,
        state: name,
        tryNumber: name === "none" ? 0 : 1
      })
      if (failed) return instance("upstream_failed")
      const end = start === undefined ? Infinity : start + Duration.toMillis(task.duration ?? 0)
      if (now() < end) {
        const begun = start !== undefined && now() >= start
        start = undefined
        return instance(begun ? "running" : "none")
      }
      start = end
      failed = task.outcome === "failed"
      return instance(task.outcome ?? "success")
    })
  }
  const stateOfRun = (run: Run): RunState => {
    if (run.state !== undefined) return run.state
    if (run.startedAt === undefined) return "queued"
    const tasks = tasksOf(run)
    if (tasks.some((task) => task.state === "running" || task.state === "none")) return "running"
    return tasks.some((task) => task.state === "failed") ? "failed" : "success"
  }
  const view = (run: Run): DagRun => {
    const current = stateOfRun(run)
    const ended = current === "success" || current === "failed"
    return {
      dagId: run.dagId,
      runId: run.runId,
      state: current,
      startedAt: Option.map(Option.fromNullable(run.startedAt), DateTime.unsafeMake),
      endedAt: ended ? Option.some(DateTime.unsafeMake(now())) : Option.none()
    }
  }
  const run = (dagId: string, runId: string) =>
    awake(`read the run ${runId}`, () => Effect.map(runOf(dagId, runId, `read the run ${runId}`), view))
  const setPaused = (dagId: string, isPaused: boolean) => {
    if (isPaused) return void state.unpaused.delete(dagId)
    state.unpaused.add(dagId)
    for (const queued of state.runs.values()) {
      if (queued.dagId === dagId && queued.startedAt === undefined) {
        state.runs.set(queued.runId, { ...queued, startedAt: now() })
      }
    }
  }
  const dagView = ({ dagId }: MemoryDag) => ({ dagId, isPaused: !state.unpaused.has(dagId), isActive: true, tags: [] })

  return {
    baseUrl,
    apiUrl: `${baseUrl}/api/v1`,
    version: read("read the version", () => "2.11.0"),
    health: read("read the health", () => ({
      metadatabase: "healthy",
      scheduler: { status: "healthy", heartbeat: Option.some(DateTime.unsafeMake(now())) },
      triggerer: Option.none(),
      dagProcessor: Option.none()
    })),
    importErrors: read("list import errors", () => []),
    dags: read("list DAGs", () => dags.map(dagView)),
    dag: (dagId) => awake(`read the DAG ${dagId}`, () => Effect.map(dagOf(dagId, `read the DAG ${dagId}`), dagView)),
    setPaused: (dagId, isPaused) =>
      awake(
        `pause or unpause ${dagId}`,
        () => Effect.map(dagOf(dagId, `pause or unpause ${dagId}`), () => setPaused(dagId, isPaused))
      ),
    pauseAll: read("pause all DAGs", () => state.unpaused.clear()),
    trigger: (dagId, options = {}) =>
      awake(`trigger ${dagId}`, () =>
        Effect.map(dagOf(dagId, `trigger ${dagId}`), () => {
          const runId = options.runId ?? `test__${++state.count}`
          const startedAt = state.unpaused.has(dagId) ? now() : undefined
          const triggered = state.runs.get(runId) ?? { dagId, runId, startedAt, state: undefined }
          state.runs.set(runId, triggered)
          return view(triggered)
        })),
    runs: (dagId) =>
      read(
        "list runs",
        () => Array.from(state.runs.values()).filter((run) => dagId === undefined || run.dagId === dagId).map(view)
      ),
    run,
    awaitRun: (dagId, runId, options = {}) =>
      schedules.untilSome(
        Effect.map(run(dagId, runId), Option.liftPredicate(({ state }) => state === "success" || state === "failed")),
        schedules.poll
      ).pipe(Effect.timeoutFail({
        duration: options.timeout ?? "5 minutes",
        onTimeout: () =>
          new RunStuck({
            dagId,
            runId,
            state: "running",
            diagnosis: state.unpaused.has(dagId) ? "its tasks take longer" : "the DAG is paused: unpause it"
          })
      })),
    setRunState: (dagId, runId, wanted) =>
      awake(
        `set the run ${runId}`,
        () =>
          Effect.map(runOf(dagId, runId, `set the run ${runId}`), (run) =>
            void state.runs.set(runId, { ...run, state: wanted }))
      ),
    deleteRun: (_, runId) => read(`delete the run ${runId}`, () => void state.runs.delete(runId)),
    taskInstances: (dagId, runId) =>
      awake(`list the tasks of ${runId}`, () => Effect.map(runOf(dagId, runId, `list the tasks of ${runId}`), tasksOf)),
    taskLog: (dagId, runId, taskId) => {
      const operation = `read the log of ${taskId}`
      return awake(operation, () =>
        Effect.flatMap(runOf(dagId, runId, operation), (run) => {
          const task = dags.find((dag) => dag.dagId === dagId)?.tasks.find((task) => task.taskId === taskId)
          const began = tasksOf(run).some((instance) => instance.taskId === taskId && instance.tryNumber > 0)
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
