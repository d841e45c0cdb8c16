/**
 * An Airflow in memory: DAGs declared as data, no socket.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { Collection, Connection, Dag, DagRun, NewUser, Pool, PoolInUse, Variable } from "../Airflow.js"
import { AirflowApiError } from "../AirflowError.js"
import type { MemoryDag, Run } from "./memoryRuns.js"
import { defaultPool, instancesOf, stateOf, timeOf } from "./memoryRuns.js"
import type { Primitives } from "./primitives.js"

export interface Options {
  readonly dags?: ReadonlyArray<MemoryDag> | undefined
  readonly version?: string | undefined
  readonly isAwake?: ((baseUrl: string) => Effect.Effect<boolean>) | undefined
}

type NewConnection = Connection & { readonly password?: Redacted.Redacted | undefined }

interface State {
  readonly madeAt: number
  readonly unpaused: Set<string>
  readonly runs: Map<string, Run>
  readonly variables: Map<string, Variable>
  readonly connections: Map<string, NewConnection>
  readonly pools: Map<string, Pool>
  readonly users: Map<string, NewUser>
}

const emptyAt = (now: number): State => ({
  madeAt: now,
  unpaused: new Set(),
  runs: new Map(),
  variables: new Map(),
  connections: new Map(),
  pools: new Map([[defaultPool, { name: defaultPool, slots: 128, description: "Default pool" }]]),
  users: new Map()
})

const helloWorld: ReadonlyArray<MemoryDag> = [{
  dagId: "hello_world_dag",
  tasks: [{ taskId: "hello", log: "Hello World from Airflow" }]
}]

export const make = (
  { dags = helloWorld, isAwake = () => Effect.succeed(true), version = "2.11.0" }: Options = {}
): Effect.Effect<(baseUrl: string) => Primitives> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const states = new Map<string, State>()
    const now = () => clock.unsafeCurrentTimeMillis()
    return (baseUrl) => {
      const state = states.get(baseUrl) ?? emptyAt(now())
      states.set(baseUrl, state)
      return primitives({ baseUrl, dags, version, isAwake: isAwake(baseUrl), state, now })
    }
  })

const soundsSecret = /access_token|api_?key|authorization|pass(phrase|wd|word)|private_key|secret|token/i
const masked = <A>(name: string, value: A) => soundsSecret.test(name) ? "***" : value

const fail = (kind: AirflowApiError["kind"], operation: string, detail: string) =>
  new AirflowApiError({ kind, operation, detail, remedy: "This Airflow is in memory." })

const keyOf = (dagId: string, runId: string) => `${dagId}/${runId}`

const primitives = ({ baseUrl, dags, isAwake, now, state, version }: {
  readonly baseUrl: string
  readonly dags: ReadonlyArray<MemoryDag>
  readonly version: string
  readonly isAwake: Effect.Effect<boolean>
  readonly state: State
  readonly now: () => number
}): Primitives => {
  const [major = 2, minor = 0, patch = 0] = version.split(".").map(Number)
  const isThree = major >= 3

  const awake = (operation: string) =>
    Effect.asVoid(
      Effect.filterOrFail(isAwake, (isAwake) => isAwake, () => fail("unreachable", operation, "it is not awake"))
    )
  const answer = <A>(operation: string, f: () => A) => Effect.map(awake(operation), f)
  const find = <A>(operation: string, detail: string, f: () => A | undefined) =>
    Effect.filterOrFail(
      answer(operation, f),
      (found) => found !== undefined,
      () => fail("notFound", operation, detail)
    )
  const findDag = (operation: string, dagId: string) =>
    find(operation, `there is no DAG ${dagId}`, () => dags.find((dag) => dag.dagId === dagId))
  const findLiveDag = (operation: string, dagId: string) =>
    Effect.filterOrFail(
      findDag(operation, dagId),
      ({ importError }) => importError === undefined,
      () => fail("notFound", operation, `${dagId}.py cannot be imported`)
    )
  const findRun = (operation: string, dagId: string, runId: string) =>
    find(operation, `there is no run ${runId} of ${dagId}`, () => state.runs.get(keyOf(dagId, runId)))
  /** The instances of a task. */
  const findTask = (operation: string, dagId: string, runId: string, taskId: string) =>
    findRun(operation, dagId, runId).pipe(
      Effect.filterOrFail(
        ({ dag }) => dag.tasks.some((task) => task.taskId === taskId),
        () => fail("notFound", operation, `${dagId} has no task ${taskId}`)
      ),
      Effect.map((run) => instancesOf(run, now()).filter(({ seen }) => seen.taskId === taskId))
    )

  const runsOf = (dagId: string) => Array.from(state.runs.values()).filter(({ dag }) => dag.dagId === dagId)
  const tasksOf = (run: Run) => instancesOf(run, now()).map(({ seen }) => seen)
  const runningIn = (runs: Iterable<Run>) =>
    Array.from(runs).flatMap(tasksOf).filter(({ state }) => state === "running")
  const save = (run: Run) => void state.runs.set(keyOf(run.dag.dagId, run.runId), run)
  const startOf = (dagId: string) => state.unpaused.has(dagId) ? now() : undefined

  const bundleName = isThree ? Option.some("dags-folder") : Option.none()
  const viewDag = ({ dagId, importError, tags = [] }: MemoryDag): Dag => ({
    dagId,
    displayName: dagId,
    isPaused: !state.unpaused.has(dagId),
    isActive: importError === undefined,
    hasImportErrors: importError !== undefined,
    fileLocation: `/dags/${dagId}.py`,
    fileToken: `${dagId}.py`,
    bundleName,
    lastParsedAt: timeOf(state.madeAt),
    tags,
    timetable: "Never, external triggers only"
  })
  const viewRun = (run: Run): DagRun => {
    const { endedAt, state } = stateOf(run, now())
    return {
      dagId: run.dag.dagId,
      runId: run.runId,
      state,
      runType: "manual",
      logicalDate: isThree ? run.logicalDate : Option.orElse(run.logicalDate, () => timeOf(run.queuedAt)),
      startedAt: timeOf(run.startedAt),
      endedAt: timeOf(endedAt),
      conf: run.conf,
      note: run.note
    }
  }
  const healthy = () => ({ status: "healthy", heartbeat: timeOf(now()) })

  const collection = <Stored, A>(kind: string, items: Map<string, Stored>, of: {
    readonly name: (item: Stored) => string
    readonly view: (item: Stored) => A
    readonly refuse?: (name: string) => boolean
  }): Collection<A, Stored> => ({
    list: answer(`list ${kind}s`, () => Array.from(items.values(), of.view)),
    get: (name) => Effect.map(find(`read the ${kind} ${name}`, "it is not there", () => items.get(name)), of.view),
    put: (item) => {
      const name = of.name(item)
      const operation = `set the ${kind} ${name}`
      return Effect.flatMap(awake(operation), () =>
        of.refuse?.(name) === true
          ? fail("badRequest", operation, `a ${kind} cannot have that name`)
          : Effect.sync(() => void items.set(name, item)))
    },
    delete: (name) => answer(`remove the ${kind} ${name}`, () => void items.delete(name)),
    deleteAll: (names) =>
      answer(`remove ${names.length} ${kind}s`, () => {
        for (const name of names) items.delete(name)
      })
  })
  const pools = collection<Pool, PoolInUse>("pool", state.pools, {
    name: ({ name }) => name,
    view: (pool) => {
      const occupiedSlots = pool.name === defaultPool ? runningIn(state.runs.values()).length : 0
      return {
        ...pool,
        includeDeferred: pool.includeDeferred ?? false,
        occupiedSlots,
        openSlots: pool.slots - occupiedSlots
      }
    },
    // Airflow 2 has no route to it
    refuse: (name) => !isThree && name.includes("/")
  })

  return {
    baseUrl,
    apiUrl: `${baseUrl}/api/${isThree ? "v2" : "v1"}`,
    version: { full: version, major: isThree ? 3 : 2, minor, patch },
    health: answer("read the health", () => ({
      metadatabase: "healthy",
      scheduler: healthy(),
      triggerer: Option.none(),
      dagProcessor: isThree ? Option.some(healthy()) : Option.none()
    })),
    authenticated: awake("authenticate"),

    dags: answer("list DAGs", () => dags.map(viewDag)),
    dag: (dagId) => Effect.map(findDag(`read the DAG ${dagId}`, dagId), viewDag),
    liveDag: (dagId) => Effect.map(findLiveDag(`read the DAG ${dagId}`, dagId), viewDag),
    requestReparse: (dagId) => Effect.as(findDag(`have ${dagId} parsed again`, dagId), true),
    dagSource: (dagId) =>
      Effect.map(findDag(`read the source of ${dagId}`, dagId), (dag) => JSON.stringify(dag, undefined, 2)),
    importErrors: answer("list import errors", () =>
      dags.flatMap(({ dagId, importError }) =>
        importError === undefined
          ? []
          : [{ filename: `${dagId}.py`, bundleName, timestamp: timeOf(state.madeAt), stackTrace: importError }]
      )),
    setPaused: (dagId, isPaused) =>
      Effect.map(findDag(`${isPaused ? "pause" : "unpause"} ${dagId}`, dagId), () => {
        if (isPaused) return void state.unpaused.delete(dagId)
        state.unpaused.add(dagId)
        for (const run of runsOf(dagId)) if (run.startedAt === undefined) save({ ...run, startedAt: now() })
      }),
    pauseAll: answer("pause all DAGs", () => state.unpaused.clear()),
    queuedEvents: (dagId) => Effect.as(findDag(`count the queued events of ${dagId}`, dagId), 0),
    deleteQueuedEvents: (dagId) => Effect.asVoid(findDag(`delete the queued events of ${dagId}`, dagId)),
    // its file stays, so that it is back at once, paused and without runs
    deleteDag: (dagId) =>
      Effect.gen(function*() {
        const operation = `delete ${dagId}`
        yield* awake(operation)
        const runs = runsOf(dagId)
        if (runningIn(runs).length > 0) return yield* fail("conflict", operation, "one of its tasks runs")
        for (const { runId } of runs) state.runs.delete(keyOf(dagId, runId))
        state.unpaused.delete(dagId)
      }),

    startRun: (dagId, asked) =>
      Effect.gen(function*() {
        const operation = `trigger ${dagId}`
        const dag = yield* findLiveDag(operation, dagId)
        const wrong = Object.entries(dag.params ?? {}).find(([name, { type }]) =>
          name in asked.conf && typeof asked.conf[name] !== (type === "integer" ? "number" : type)
        )
        if (wrong !== undefined) {
          return yield* fail("badRequest", operation, `the param ${wrong[0]} is of another type`)
        }
        if (state.runs.has(keyOf(dagId, asked.runId))) {
          return yield* fail("conflict", operation, `there is a run ${asked.runId}`)
        }
        const isSameDate = Option.getEquivalence(DateTime.Equivalence)
        const { logicalDate } = asked
        if (Option.isSome(logicalDate) && runsOf(dagId).some((run) => isSameDate(run.logicalDate, logicalDate))) {
          return yield* fail("conflict", operation, "there is a run of that logical date")
        }
        const run: Run = {
          ...asked,
          dag,
          queuedAt: now(),
          startedAt: startOf(dagId),
          set: undefined,
          triesBefore: new Map()
        }
        save(run)
        return viewRun(run)
      }),
    runs: (dagId) =>
      dagId === undefined
        ? answer("list runs", () => Array.from(state.runs.values(), viewRun))
        : Effect.map(findDag(`list the runs of ${dagId}`, dagId), () => runsOf(dagId).map(viewRun)),
    run: (dagId, runId) => Effect.map(findRun(`read the run ${runId}`, dagId, runId), viewRun),
    followRun: (_dagId, runId) => fail("unsupported", `follow the run ${runId}`, "it has no such answer"),
    setRunState: (dagId, runId, wanted) =>
      Effect.map(
        findRun(`set the run ${runId}`, dagId, runId),
        (run) => save({ ...run, set: wanted === "queued" ? undefined : { state: wanted, endedAt: now() } })
      ),
    clearRun: (dagId, runId) =>
      Effect.map(findRun(`clear the run ${runId}`, dagId, runId), (run) =>
        save({
          ...run,
          startedAt: startOf(dagId),
          set: undefined,
          triesBefore: new Map(tasksOf(run).map(({ taskId, tryNumber }) => [taskId, tryNumber]))
        })),
    deleteRun: (dagId, runId) => answer(`delete the run ${runId}`, () => void state.runs.delete(keyOf(dagId, runId))),

    taskInstances: (dagId, runId) => Effect.map(findRun(`list the tasks of ${runId}`, dagId, runId), tasksOf),
    readLog: (dagId, runId, taskId, mapIndex, tryNumber) =>
      Effect.gen(function*() {
        const operation = `read the log of ${taskId}`
        const instances = yield* findTask(operation, dagId, runId, taskId)
        const instance = instances.find(({ seen }) => seen.mapIndex === mapIndex)
        if (instance === undefined) return yield* fail("notFound", operation, `it has no instance ${mapIndex}`)
        const lines = instance.log(tryNumber)
        const source = `${baseUrl}/logs/${dagId}/${runId}/${taskId}/${mapIndex}/${tryNumber}.log`
        return { lines, sources: lines.length === 0 ? [] : [source] }
      }),
    xcom: (dagId, runId, taskId, { key = "return_value", mapIndex = -1 } = {}) =>
      Effect.gen(function*() {
        const operation = `read what ${taskId} pushed as ${key}`
        const instances = yield* findTask(operation, dagId, runId, taskId)
        const { xcom = {} } = instances.find(({ seen }) => seen.mapIndex === mapIndex) ?? {}
        return Object.hasOwn(xcom, key) ? xcom[key] : yield* fail("notFound", operation, "it is not there")
      }),
    xcomKeys: (dagId, runId, taskId) =>
      Effect.map(
        findTask(`list what ${taskId} pushed`, dagId, runId, taskId),
        (instances) => Object.keys(Object.assign({}, ...instances.map(({ xcom }) => xcom)))
      ),

    variables: collection("variable", state.variables, {
      name: ({ key }) => key,
      view: (variable) => isThree ? { ...variable, value: masked(variable.key, variable.value) } : variable
    }),
    connections: collection<NewConnection, Connection>("connection", state.connections, {
      name: ({ id }) => id,
      view: ({ password: _, ...connection }) => ({
        ...connection,
        extra: connection.extra &&
          Object.fromEntries(Object.entries(connection.extra).map(([name, value]) => [name, masked(name, value)]))
      }),
      refuse: (id) => !/^[\w.-]+$/.test(id)
    }),
    pools: {
      ...pools,
      delete: (name) =>
        name === defaultPool
          ? fail("badRequest", `remove the pool ${name}`, "it cannot be removed")
          : pools.delete(name),
      deleteAll: (names) => pools.deleteAll(names.filter((name) => name !== defaultPool))
    },
    users: {
      create: (user) =>
        answer(`create the user ${user.username}`, () => {
          if (state.users.has(user.username)) return "exists"
          state.users.set(user.username, user)
          return "created"
        }),
      get: (username) =>
        Effect.map(
          find(`read the user ${username}`, "there is no such user", () => state.users.get(username)),
          ({ roles = ["Admin"] }) => ({ username, email: `${username}@example.org`, roles })
        ),
      delete: (username) => answer(`remove the user ${username}`, () => void state.users.delete(username))
    },
    request: (method, path) => fail("unsupported", `${method} ${path}`, "it has no HTTP API")
  }
}
