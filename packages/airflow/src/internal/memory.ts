/**
 * The primitives of an Airflow in memory, whose DAGs are declared as data.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { Collection, Connection, Dag, DagRun, NewUser, Pool, PoolInUse, Variable } from "../Airflow.js"
import { AirflowApiError } from "../AirflowError.js"
import type { MemoryDag, Run } from "./memoryRuns.js"
import { simulate, stateOf, timeOf } from "./memoryRuns.js"
import { segment, unaddressable } from "./path.js"
import { defaultPool, type Primitives } from "./primitives.js"
import { withoutQuery } from "./url.js"

export interface Options {
  /** [`hello_world_dag`, with a task `hello` that logs "Hello World from Airflow"] */
  readonly dags?: ReadonlyArray<MemoryDag> | undefined
  /** The version that the Airflow reports and imitates [2.11.0]. */
  readonly version?: string | undefined
  /** Whether the Airflow at a base URL responds. If not, requests fail with `unreachable` [always]. */
  readonly isAwake?: ((baseUrl: string) => Effect.Effect<boolean>) | undefined
}

type NewConnection = Connection & { readonly password?: Redacted.Redacted | undefined }

interface State {
  readonly createdAt: number
  readonly unpaused: Set<string>
  readonly runs: Map<string, Run>
  readonly variables: Map<string, Variable>
  readonly connections: Map<string, NewConnection>
  readonly pools: Map<string, Pool>
  readonly users: Map<string, NewUser>
}

const emptyState = (now: number): State => ({
  createdAt: now,
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

/** Returns the Airflow at a base URL. Each base URL has a state of its own. */
export const make = (
  { dags = helloWorld, isAwake = () => Effect.succeed(true), version = "2.11.0" }: Options
): Effect.Effect<(baseUrl: string) => Primitives> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const states = new Map<string, State>()
    const now = () => clock.unsafeCurrentTimeMillis()
    return (baseUrl) => {
      const state = states.get(baseUrl) ?? emptyState(now())
      states.set(baseUrl, state)
      return primitives({ baseUrl, dags, version, isAwake: isAwake(baseUrl), state, now })
    }
  })

const secretName = /access_token|api_?key|authorization|pass(phrase|wd|word)|private_key|secret|token/i
const masked = <A>(name: string, value: A) => secretName.test(name) ? "***" : value

const fail = (kind: AirflowApiError["kind"], operation: string, detail: string) =>
  new AirflowApiError({ kind, operation, detail, remedy: "Check the options of AirflowApi.layerMemory." })

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
  const isAirflow3 = major >= 3

  const requireAwake = (operation: string) =>
    Effect.asVoid(
      Effect.filterOrFail(isAwake, (isAwake) => isAwake, () => fail("unreachable", operation, "Airflow is not awake"))
    )
  const respond = <A>(operation: string, f: () => A) => Effect.map(requireAwake(operation), f)
  const respondOrNotFound = <A>(operation: string, detail: string, f: () => A | undefined) =>
    Effect.filterOrFail(
      respond(operation, f),
      (response) => response !== undefined,
      () => fail("notFound", operation, detail)
    )
  const getDag = (operation: string, dagId: string) =>
    respondOrNotFound(operation, `there is no DAG ${dagId}`, () => dags.find((dag) => dag.dagId === dagId))
  const getLiveDag = (operation: string, dagId: string) =>
    Effect.filterOrFail(
      getDag(operation, dagId),
      ({ importError }) => importError === undefined,
      () => fail("notFound", operation, `${dagId}.py cannot be imported`)
    )
  const getRun = (operation: string, dagId: string, runId: string) =>
    respondOrNotFound(operation, `there is no run ${runId} of ${dagId}`, () => state.runs.get(keyOf(dagId, runId)))
  const getTaskInstances = (operation: string, dagId: string, runId: string, taskId: string) =>
    getRun(operation, dagId, runId).pipe(
      Effect.filterOrFail(
        ({ dag }) => dag.tasks.some((task) => task.taskId === taskId),
        () => fail("notFound", operation, `${dagId} has no task ${taskId}`)
      ),
      Effect.map((run) => simulate(run, now()).filter(({ instance }) => instance.taskId === taskId))
    )

  const runsOf = (dagId: string) => Array.from(state.runs.values()).filter(({ dag }) => dag.dagId === dagId)
  const instancesIn = (run: Run) => simulate(run, now()).map(({ instance }) => instance)
  const runningIn = (runs: Iterable<Run>) =>
    Array.from(runs).flatMap(instancesIn).filter(({ state }) => state === "running")
  const save = (run: Run) => void state.runs.set(keyOf(run.dag.dagId, run.runId), run)
  const startTime = (dagId: string) => state.unpaused.has(dagId) ? now() : undefined

  const bundleName = isAirflow3 ? Option.some("dags-folder") : Option.none()
  const toDag = ({ dagId, importError, tags = [] }: MemoryDag): Dag => ({
    dagId,
    displayName: dagId,
    isPaused: !state.unpaused.has(dagId),
    isActive: importError === undefined,
    hasImportErrors: importError !== undefined,
    fileLocation: `/dags/${dagId}.py`,
    fileToken: `${dagId}.py`,
    bundleName,
    lastParsedAt: timeOf(state.createdAt),
    tags,
    timetable: "Never, external triggers only",
    isPartitioned: false
  })
  const toRun = (run: Run): DagRun => {
    const { endedAt, state } = stateOf(run, now())
    return {
      dagId: run.dag.dagId,
      runId: run.runId,
      state,
      runType: "manual",
      logicalDate: isAirflow3 ? run.logicalDate : Option.orElse(run.logicalDate, () => timeOf(run.queuedAt)),
      startedAt: timeOf(run.startedAt),
      endedAt: timeOf(endedAt),
      conf: run.conf,
      note: run.note
    }
  }
  const healthy = () => ({ status: "healthy", heartbeat: timeOf(now()) })

  const collection = <Stored, A>(
    kind: string,
    items: Map<string, Stored>,
    { isInvalidName, nameOf, toModel, unlistable }: {
      readonly nameOf: (item: Stored) => string
      readonly toModel: (item: Stored) => A
      readonly isInvalidName?: (name: string) => boolean
      /** Why Airflow could not list the item. */
      readonly unlistable?: (item: Stored) => string | undefined
    }
  ): Collection<A, Stored> => ({
    list: respond(`list ${kind}s`, () => Array.from(items.values(), toModel)),
    get: (name) =>
      Effect.map(
        respondOrNotFound(`read the ${kind} ${name}`, "it does not exist", () => items.get(name)),
        toModel
      ),
    put: (item) => {
      const name = nameOf(item)
      const operation = `set the ${kind} ${name}`
      return Effect.flatMap(requireAwake(operation), () => {
        const problem = unaddressable(`/api/${isAirflow3 ? "v2" : "v1"}/${kind}s/${segment(name)}`)
        if (problem !== undefined) return fail(problem.kind, operation, problem.detail)
        const reason = unlistable?.(item)
        if (reason !== undefined) return fail("unsupported", operation, reason)
        return isInvalidName?.(name) === true
          ? fail("badRequest", operation, `a ${kind} cannot have that name`)
          : Effect.sync(() => void items.set(name, item))
      })
    },
    delete: (name) => respond(`delete the ${kind} ${name}`, () => void items.delete(name)),
    deleteAll: (names) =>
      respond(`delete ${names.length} ${kind}s`, () => {
        for (const name of names) items.delete(name)
      })
  })
  const pools = collection<Pool, PoolInUse>("pool", state.pools, {
    nameOf: ({ name }) => name,
    toModel: (pool) => {
      const occupiedSlots = pool.name === defaultPool ? runningIn(state.runs.values()).length : 0
      return {
        ...pool,
        includeDeferred: pool.includeDeferred ?? false,
        occupiedSlots,
        openSlots: pool.slots - occupiedSlots
      }
    },
    unlistable: ({ slots }) => !isAirflow3 && slots < 0 ? "Airflow 2 cannot list an unlimited pool" : undefined
  })

  return {
    baseUrl,
    apiUrl: `${baseUrl}/api/${isAirflow3 ? "v2" : "v1"}`,
    version: { full: version, major: isAirflow3 ? 3 : 2, minor, patch },
    health: respond("read the health", () => ({
      metadatabase: "healthy",
      scheduler: healthy(),
      triggerer: Option.none(),
      dagProcessor: isAirflow3 ? Option.some(healthy()) : Option.none()
    })),
    authenticated: requireAwake("authenticate"),

    dags: respond("list DAGs", () => dags.map(toDag)),
    dag: (dagId) => Effect.map(getDag(`read the DAG ${dagId}`, dagId), toDag),
    liveDag: (dagId) => Effect.map(getLiveDag(`read the DAG ${dagId}`, dagId), toDag),
    requestReparse: (dagId) => Effect.as(getDag(`request a reparse of ${dagId}`, dagId), true),
    dagSource: (dagId) =>
      Effect.map(getDag(`read the source of ${dagId}`, dagId), (dag) => JSON.stringify(dag, undefined, 2)),
    importErrors: respond("list import errors", () =>
      dags.flatMap(({ dagId, importError }) =>
        importError === undefined
          ? []
          : [{ filename: `${dagId}.py`, bundleName, timestamp: timeOf(state.createdAt), stackTrace: importError }]
      )),
    setPaused: (dagId, isPaused) =>
      Effect.map(getDag(`${isPaused ? "pause" : "unpause"} ${dagId}`, dagId), () => {
        if (isPaused) return void state.unpaused.delete(dagId)
        state.unpaused.add(dagId)
        for (const run of runsOf(dagId)) if (run.startedAt === undefined) save({ ...run, startedAt: now() })
      }),
    pauseAll: respond("pause all DAGs", () => state.unpaused.clear()),
    queuedEvents: (dagId) => Effect.as(getDag(`count the queued events of ${dagId}`, dagId), 0),
    deleteQueuedEvents: (dagId) => Effect.asVoid(getDag(`delete the queued events of ${dagId}`, dagId)),
    hiddenLeftovers: () => respond("list hidden leftovers", () => []),
    // its file still exists, so the DAG reappears at once: paused and without runs
    deleteDag: (dagId) =>
      Effect.gen(function*() {
        const operation = `delete ${dagId}`
        yield* requireAwake(operation)
        const runs = runsOf(dagId)
        if (runningIn(runs).length > 0) return yield* fail("conflict", operation, "one of its tasks is running")
        for (const { runId } of runs) state.runs.delete(keyOf(dagId, runId))
        state.unpaused.delete(dagId)
      }),

    startRun: (dagId, newRun) =>
      Effect.gen(function*() {
        const operation = `trigger ${dagId}`
        const dag = yield* getLiveDag(operation, dagId)
        const invalidParam = Object.entries(dag.params ?? {}).find(([name, { type }]) =>
          name in newRun.conf && typeof newRun.conf[name] !== (type === "integer" ? "number" : type)
        )
        if (invalidParam !== undefined) {
          return yield* fail("badRequest", operation, `the param ${invalidParam[0]} has the wrong type`)
        }
        if (state.runs.has(keyOf(dagId, newRun.runId))) {
          return yield* fail("conflict", operation, `a run ${newRun.runId} exists`)
        }
        const isSame = Option.getEquivalence(DateTime.Equivalence)
        const { logicalDate } = newRun
        if (Option.isSome(logicalDate) && runsOf(dagId).some((run) => isSame(run.logicalDate, logicalDate))) {
          return yield* fail("conflict", operation, "a run with this logical date exists")
        }
        const run: Run = {
          ...newRun,
          dag,
          queuedAt: now(),
          startedAt: startTime(dagId),
          endedByHand: undefined,
          triesBefore: new Map()
        }
        save(run)
        return toRun(run)
      }),
    runs: (dagId) =>
      dagId === undefined
        ? respond("list runs", () => Array.from(state.runs.values(), toRun))
        : Effect.map(getDag(`list the runs of ${dagId}`, dagId), () => runsOf(dagId).map(toRun)),
    run: (dagId, runId) => Effect.map(getRun(`read the run ${runId}`, dagId, runId), toRun),
    followRun: (_dagId, runId) =>
      fail("unsupported", `follow the run ${runId}`, "an Airflow in memory cannot stream the states of a run"),
    setRunState: (dagId, runId, newState) =>
      Effect.map(
        getRun(`set the run ${runId}`, dagId, runId),
        (run) => save({ ...run, endedByHand: newState === "queued" ? undefined : { state: newState, endedAt: now() } })
      ),
    clearRun: (dagId, runId) =>
      Effect.map(getRun(`clear the run ${runId}`, dagId, runId), (run) =>
        save({
          ...run,
          startedAt: startTime(dagId),
          endedByHand: undefined,
          triesBefore: new Map(instancesIn(run).map(({ taskId, tryNumber }) => [taskId, tryNumber]))
        })),
    deleteRun: (dagId, runId) => respond(`delete the run ${runId}`, () => void state.runs.delete(keyOf(dagId, runId))),

    taskInstances: (dagId, runId) => Effect.map(getRun(`list the tasks of ${runId}`, dagId, runId), instancesIn),
    readLog: (dagId, runId, taskId, mapIndex, tryNumber) =>
      Effect.gen(function*() {
        const operation = `read the log of ${taskId}`
        const instances = yield* getTaskInstances(operation, dagId, runId, taskId)
        const instance = instances.find(({ instance }) => instance.mapIndex === mapIndex)
        if (instance === undefined) return yield* fail("notFound", operation, `it has no instance ${mapIndex}`)
        const lines = instance.log(tryNumber)
        const source = `${baseUrl}/logs/${dagId}/${runId}/${taskId}/${mapIndex}/${tryNumber}.log`
        return { lines, sources: lines.length === 0 ? [] : [source] }
      }),
    xcom: (dagId, runId, taskId, { key = "return_value", mapIndex = -1 } = {}) =>
      Effect.gen(function*() {
        const operation = `read the XCom ${key} of ${taskId}`
        const instances = yield* getTaskInstances(operation, dagId, runId, taskId)
        const { xcom = {} } = instances.find(({ instance }) => instance.mapIndex === mapIndex) ?? {}
        return Object.hasOwn(xcom, key) ? xcom[key] : yield* fail("notFound", operation, "it does not exist")
      }),
    xcomKeys: (dagId, runId, taskId) =>
      Effect.map(
        getTaskInstances(`list the XComs of ${taskId}`, dagId, runId, taskId),
        (instances) => Object.keys(Object.assign({}, ...instances.map(({ xcom }) => xcom)))
      ),

    variables: collection("variable", state.variables, {
      nameOf: ({ key }) => key,
      toModel: (variable) => isAirflow3 ? { ...variable, value: masked(variable.key, variable.value) } : variable
    }),
    connections: collection<NewConnection, Connection>("connection", state.connections, {
      nameOf: ({ id }) => id,
      toModel: ({ password: _, ...connection }) => ({
        ...connection,
        extra: connection.extra &&
          Object.fromEntries(Object.entries(connection.extra).map(([name, value]) => [name, masked(name, value)]))
      }),
      isInvalidName: (id) => !/^[\w.-]+$/.test(id)
    }),
    pools: {
      ...pools,
      delete: (name) =>
        name === defaultPool
          ? fail("badRequest", `delete the pool ${name}`, "it cannot be deleted")
          : pools.delete(name),
      deleteAll: (names) => pools.deleteAll(names.filter((name) => name !== defaultPool))
    },
    users: {
      create: (user) => {
        const operation = `create the user ${user.username}`
        const problem = unaddressable(`/api/v1/users/${segment(user.username)}`)
        return problem !== undefined ? fail(problem.kind, operation, problem.detail) : respond(operation, () => {
          if (state.users.has(user.username)) return "exists"
          state.users.set(user.username, user)
          return "created"
        })
      },
      get: (username) =>
        Effect.map(
          respondOrNotFound(`read the user ${username}`, "it does not exist", () => state.users.get(username)),
          ({ roles = ["Admin"] }) => ({ username, email: `${username}@example.org`, roles })
        ),
      delete: (username) => respond(`delete the user ${username}`, () => void state.users.delete(username))
    },
    request: (method, path) =>
      fail("unsupported", `send ${method} ${withoutQuery(path)}`, "an Airflow in memory has no HTTP API")
  }
}
