/**
 * An Airflow in memory: DAGs declared as data, no socket. What its runs are about follows from what was asked for, and when.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type {
  Collection,
  Connection,
  Dag,
  DagRun,
  NewUser,
  Pool,
  PoolInUse,
  RunState,
  TaskInstance,
  Variable
} from "../../Airflow.js"
import { AirflowApiError } from "../../AirflowError.js"
import { DeploymentProvider } from "../../DeploymentProvider.js"
import type { LogLine } from "../../TaskLog.js"
import type { NewRun, Primitives } from "./primitives.js"

export interface MemoryTask {
  readonly taskId: string
  /** What each try prints, spread over its duration. */
  readonly log: string
  /** Of each try, and of the wait between two [no time]. */
  readonly duration?: Duration.DurationInput | undefined
  /** Of the last try [success]. */
  readonly outcome?: "success" | "failed" | undefined
  /** All tries but the last fail [1]. */
  readonly tries?: number | undefined
  /** Logged at the end of every try that fails. */
  readonly error?: { readonly type: string; readonly value: string } | undefined
  /** What it pushes when it succeeds, by key. */
  readonly xcom?: Readonly<Record<string, unknown>> | undefined
  /** How many instances it is mapped to, or what each of them does in its own way [it is not mapped]. */
  readonly mapped?: number | ReadonlyArray<Pick<Partial<MemoryTask>, "log" | "xcom">> | undefined
  /** Tasks before it in the list that must succeed first [the one before it]. */
  readonly upstream?: ReadonlyArray<string> | undefined
}

export interface MemoryDag {
  readonly dagId: string
  readonly tags?: ReadonlyArray<string> | undefined
  readonly tasks: ReadonlyArray<MemoryTask>
  /** What `conf` may give, and what of. */
  readonly params?: Readonly<Record<string, { readonly type: "integer" | "string" | "boolean" }>> | undefined
  /** The stack trace of a file that cannot be imported. */
  readonly importError?: string | undefined
}

export interface Options {
  readonly dags?: ReadonlyArray<MemoryDag> | undefined
  readonly version?: string | undefined
}

interface Run extends NewRun {
  readonly dagId: string
  readonly queuedAt: number
  /** When it was triggered, cleared, or its DAG was unpaused, whichever came last. */
  readonly startedAt: number | undefined
  /** Ended by hand, whatever its tasks were about. */
  readonly set: { readonly state: "success" | "failed"; readonly at: number } | undefined
  /** The tries that each task had before the run was cleared. */
  readonly triesBefore: ReadonlyMap<string, number>
}

/** The tries of a task in a run: each takes `duration`, and so does the wait between two. */
interface Course {
  readonly task: MemoryTask
  readonly duration: number
  readonly start: number
  readonly firstTry: number
  readonly lastTry: number
  readonly end: number
  readonly upstreamFailed: boolean
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

const helloWorld: ReadonlyArray<MemoryDag> = [{
  dagId: "hello_world_dag",
  tasks: [{ taskId: "hello", log: "Hello World from Airflow" }]
}]

export const make = (
  { dags = helloWorld, version = "2.11.0" }: Options = {}
): Effect.Effect<(baseUrl: string) => Primitives, never, DeploymentProvider> =>
  Effect.gen(function*() {
    const clock = yield* Effect.clock
    const provider = yield* DeploymentProvider
    const states = new Map<string, State>()
    const now = () => clock.unsafeCurrentTimeMillis()
    return (baseUrl) => primitives({ baseUrl, dags, version, provider, state: stateOf(states, baseUrl, now()), now })
  })

const stateOf = (states: Map<string, State>, baseUrl: string, now: number): State => {
  const known = states.get(baseUrl) ?? {
    madeAt: now,
    unpaused: new Set(),
    runs: new Map(),
    variables: new Map(),
    connections: new Map(),
    pools: new Map([[defaultPool, { name: defaultPool, slots: 128, description: "Default pool" }]]),
    users: new Map()
  }
  states.set(baseUrl, known)
  return known
}

const defaultPool = "default_pool"
const soundsSecret = /access_token|api_?key|authorization|pass(phrase|wd|word)|private_key|secret|token/i

const primitives = ({ baseUrl, dags, now, provider, state, version }: {
  readonly baseUrl: string
  readonly dags: ReadonlyArray<MemoryDag>
  readonly version: string
  readonly provider: typeof DeploymentProvider.Service
  readonly state: State
  readonly now: () => number
}): Primitives => {
  const [major = 2, minor = 0, patch = 0] = version.split(".").map(Number)
  const isThree = major >= 3

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

  const withDag = <A>(operation: string, dagId: string, f: (dag: MemoryDag) => A) =>
    awake(operation, () => {
      const dag = dags.find((dag) => dag.dagId === dagId)
      return dag === undefined ? fail("notFound", operation, `there is no DAG ${dagId}`) : Effect.sync(() => f(dag))
    })
  const withLiveDag = <A>(operation: string, dagId: string, f: (dag: MemoryDag) => Effect.Effect<A, AirflowApiError>) =>
    Effect.flatten(withDag(operation, dagId, (dag) =>
      dag.importError === undefined
        ? f(dag)
        : fail("notFound", operation, `${dagId}.py cannot be imported`)))
  const withRun = <A>(operation: string, dagId: string, runId: string, f: (run: Run) => A) =>
    awake(operation, () => {
      const run = state.runs.get(keyOf(dagId, runId))
      return run === undefined
        ? fail("notFound", operation, `there is no run ${runId} of ${dagId}`)
        : Effect.sync(() => f(run))
    })
  const withTask = <A>(
    operation: string,
    dagId: string,
    runId: string,
    taskId: string,
    f: (course: Course, run: Run) => Effect.Effect<A, AirflowApiError>
  ) =>
    Effect.flatten(withRun(operation, dagId, runId, (run) => {
      const course = coursesOf(run).find(({ task }) => task.taskId === taskId)
      return course === undefined ? fail("notFound", operation, `${dagId} has no task ${taskId}`) : f(course, run)
    }))

  const keyOf = (dagId: string, runId: string) => `${dagId}/${runId}`
  const change = (run: Run, facts: Partial<Run>) =>
    void state.runs.set(keyOf(run.dagId, run.runId), { ...run, ...facts })
  const startOf = (dagId: string) => state.unpaused.has(dagId) ? now() : undefined

  const coursesOf = (run: Run): ReadonlyArray<Course> => {
    const courses: Array<Course> = []
    for (const task of dags.find(({ dagId }) => dagId === run.dagId)?.tasks ?? []) {
      const { tries = 1, upstream } = task
      const before = upstream === undefined
        ? courses.slice(-1)
        : courses.filter((course) => upstream.includes(course.task.taskId))
      const upstreamFailed = before.some((course) => course.upstreamFailed || course.task.outcome === "failed")
      const start = Math.max(run.startedAt ?? Infinity, ...before.map(({ end }) => end))
      const duration = Duration.toMillis(task.duration ?? 0)
      const firstTry = (run.triesBefore.get(task.taskId) ?? 0) + 1
      const lastTry = Math.ceil(firstTry / tries) * tries
      const end = upstreamFailed ? start : start + (2 * (lastTry - firstTry) + 1) * duration
      courses.push({ task, duration, start, firstTry, lastTry, end, upstreamFailed })
    }
    return courses
  }
  const fails = ({ outcome, tries = 1 }: MemoryTask, tryNumber: number) =>
    tryNumber % tries !== 0 || outcome === "failed"
  /** Until when the run went on. What was ended by hand stays as it was at that moment. */
  const endOfSight = (run: Run) => run.set?.at ?? now()
  const beginOf = (course: Course, tryNumber: number) =>
    course.start + 2 * (tryNumber - course.firstTry) * course.duration

  const look = (course: Course, run: Run) => {
    const { duration, end, firstTry, lastTry, start, task, upstreamFailed } = course
    const until = endOfSight(run)
    const at = (state: string, tryNumber: number, startedAt?: number, endedAt?: number) => ({
      state,
      tryNumber,
      startedAt,
      endedAt
    })
    if (start > until) return at("none", firstTry - 1)
    if (upstreamFailed) return at("upstream_failed", firstTry - 1, start, start)
    if (end <= until) return at(task.outcome ?? "success", lastTry, beginOf(course, lastTry), end)
    const step = Math.floor((until - start) / duration)
    const tryNumber = firstTry + Math.floor(step / 2)
    const begin = beginOf(course, tryNumber)
    if (run.set !== undefined) return at(run.set.state, tryNumber, begin, run.set.at)
    return step % 2 === 0 ? at("running", tryNumber, begin) : at("up_for_retry", tryNumber, begin, begin + duration)
  }
  const timeOf = (at: number | undefined) => Option.map(Option.fromNullable(at), DateTime.unsafeMake)
  const instancesOf = (run: Run): ReadonlyArray<TaskInstance> =>
    coursesOf(run).flatMap((course) => {
      const { endedAt, startedAt, state, tryNumber } = look(course, run)
      return indicesOf(course.task).map((mapIndex): TaskInstance => ({
        dagId: run.dagId,
        runId: run.runId,
        taskId: course.task.taskId,
        mapIndex,
        state,
        tryNumber,
        maxTries: (course.task.tries ?? 1) - 1,
        pool: defaultPool,
        queuedAt: timeOf(startedAt),
        startedAt: timeOf(startedAt),
        endedAt: timeOf(endedAt)
      }))
    })
  const indicesOf = ({ mapped }: MemoryTask) =>
    mapped === undefined
      ? [-1]
      : Array.from({ length: typeof mapped === "number" ? mapped : mapped.length }, (_, index) => index)
  const instanceOf = (task: MemoryTask, mapIndex: number): MemoryTask => ({
    ...task,
    ...(typeof task.mapped === "object" ? task.mapped[mapIndex] : {})
  })

  const stateOfRun = (run: Run): { readonly state: RunState; readonly endedAt?: number } => {
    if (run.set !== undefined) return { state: run.set.state, endedAt: run.set.at }
    if (run.startedAt === undefined) return { state: "queued" }
    const courses = coursesOf(run)
    const endedAt = Math.max(run.startedAt, ...courses.map(({ end }) => end))
    if (endedAt > now()) return { state: "running" }
    return { state: courses.some(({ task }) => task.outcome === "failed") ? "failed" : "success", endedAt }
  }
  const viewRun = (run: Run): DagRun => {
    const { endedAt, state } = stateOfRun(run)
    return {
      dagId: run.dagId,
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
  const viewDag = ({ dagId, importError, tags = [] }: MemoryDag): Dag => ({
    dagId,
    displayName: dagId,
    isPaused: !state.unpaused.has(dagId),
    isActive: importError === undefined,
    hasImportErrors: importError !== undefined,
    fileLocation: `/dags/${dagId}.py`,
    fileToken: `${dagId}.py`,
    bundleName: isThree ? Option.some("dags-folder") : Option.none(),
    lastParsedAt: timeOf(state.madeAt),
    tags,
    timetable: "Never, external triggers only"
  })

  const collection = <Stored, A>(kind: string, items: Map<string, Stored>, of: {
    readonly name: (item: Stored) => string
    readonly view: (item: Stored) => A
    readonly refuse?: (name: string) => boolean
  }): Collection<A, Stored> => ({
    list: read(`list ${kind}s`, () => Array.from(items.values(), of.view)),
    get: (name) =>
      awake(`read the ${kind} ${name}`, () => {
        const item = items.get(name)
        return item === undefined
          ? fail("notFound", `read the ${kind} ${name}`, "it is not there")
          : Effect.sync(() => of.view(item))
      }),
    put: (item) => {
      const name = of.name(item)
      return awake(`set the ${kind} ${name}`, () =>
        of.refuse?.(name) === true
          ? fail("badRequest", `set the ${kind} ${name}`, `a ${kind} cannot have that name`)
          : Effect.sync(() => void items.set(name, item)))
    },
    remove: (name) => read(`remove the ${kind} ${name}`, () => void items.delete(name)),
    removeAll: (names) =>
      read(`remove ${names.length} ${kind}s`, () => {
        for (const name of names) items.delete(name)
      })
  })
  const pools = collection<Pool, PoolInUse>("pool", state.pools, {
    name: ({ name }) => name,
    view: (pool) => {
      const occupiedSlots = pool.name === defaultPool
        ? Array.from(state.runs.values()).flatMap(instancesOf).filter(({ state }) => state === "running").length
        : 0
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
  const healthy = () => ({ status: "healthy", heartbeat: timeOf(now()) })

  return {
    baseUrl,
    apiUrl: `${baseUrl}/api/${isThree ? "v2" : "v1"}`,
    version: { full: version, major: isThree ? 3 : 2, minor, patch },
    health: read("read the health", () => ({
      metadatabase: "healthy",
      scheduler: healthy(),
      triggerer: Option.none(),
      dagProcessor: isThree ? Option.some(healthy()) : Option.none()
    })),
    authenticated: read("authenticate", () => {}),

    dags: read("list DAGs", () => dags.map(viewDag)),
    dag: (dagId) => withDag(`read the DAG ${dagId}`, dagId, viewDag),
    liveDag: (dagId) => withLiveDag(`read the DAG ${dagId}`, dagId, (dag) => Effect.succeed(viewDag(dag))),
    requestReparse: (dagId) => withDag(`have ${dagId} parsed again`, dagId, () => true),
    dagSource: (dagId) => withDag(`read the source of ${dagId}`, dagId, (dag) => JSON.stringify(dag, undefined, 2)),
    importErrors: read(
      "list import errors",
      () =>
        dags.flatMap(({ dagId, importError }) =>
          importError === undefined ? [] : [{
            filename: `${dagId}.py`,
            bundleName: isThree ? Option.some("dags-folder") : Option.none(),
            timestamp: timeOf(state.madeAt),
            stackTrace: importError
          }]
        )
    ),
    setPaused: (dagId, isPaused) =>
      withDag(`${isPaused ? "pause" : "unpause"} ${dagId}`, dagId, () => {
        if (isPaused) return void state.unpaused.delete(dagId)
        state.unpaused.add(dagId)
        for (const run of state.runs.values()) {
          if (run.dagId === dagId && run.startedAt === undefined) change(run, { startedAt: now() })
        }
      }),
    pauseAll: read("pause all DAGs", () => state.unpaused.clear()),
    // its file stays, so that it is back at once, paused and without runs
    deleteDag: (dagId) =>
      awake(`delete ${dagId}`, () => {
        const runs = Array.from(state.runs.values()).filter((run) => run.dagId === dagId)
        if (runs.flatMap(instancesOf).some((task) => task.state === "running")) {
          return fail("conflict", `delete ${dagId}`, "one of its tasks runs")
        }
        for (const { runId } of runs) state.runs.delete(keyOf(dagId, runId))
        return Effect.sync(() => void state.unpaused.delete(dagId))
      }),

    startRun: (dagId, run) => {
      const operation = `trigger ${dagId}`
      return withLiveDag(operation, dagId, ({ params = {} }) => {
        const others = Array.from(state.runs.values()).filter((other) => other.dagId === dagId)
        const isSameDate = (other: Run) =>
          Option.isSome(run.logicalDate) &&
          Option.getEquivalence(DateTime.Equivalence)(other.logicalDate, run.logicalDate)
        const wrong = Object.entries(params).find(([name, { type }]) =>
          name in run.conf && typeof run.conf[name] !== (type === "integer" ? "number" : type)
        )
        if (wrong !== undefined) return fail("badRequest", operation, `the param ${wrong[0]} is of another type`)
        if (others.some(({ runId }) => runId === run.runId)) {
          return fail("conflict", operation, `there is a run ${run.runId}`)
        }
        if (others.some(isSameDate)) return fail("conflict", operation, "there is a run of that logical date")
        const made = {
          ...run,
          dagId,
          queuedAt: now(),
          startedAt: startOf(dagId),
          set: undefined,
          triesBefore: new Map()
        }
        state.runs.set(keyOf(dagId, run.runId), made)
        return Effect.sync(() => viewRun(made))
      })
    },
    runs: (dagId) =>
      dagId === undefined
        ? read("list runs", () => Array.from(state.runs.values(), viewRun))
        : withDag(
          `list the runs of ${dagId}`,
          dagId,
          () => Array.from(state.runs.values()).filter((run) => run.dagId === dagId).map(viewRun)
        ),
    run: (dagId, runId) => withRun(`read the run ${runId}`, dagId, runId, viewRun),
    followRun: (_dagId, runId) => fail("unsupported", `follow the run ${runId}`, "it has no such answer"),
    setRunState: (dagId, runId, wanted) =>
      withRun(
        `set the run ${runId}`,
        dagId,
        runId,
        (run) => change(run, { set: wanted === "queued" ? undefined : { state: wanted, at: now() } })
      ),
    clearRun: (dagId, runId) =>
      withRun(`clear the run ${runId}`, dagId, runId, (run) =>
        change(run, {
          startedAt: startOf(dagId),
          set: undefined,
          triesBefore: new Map(instancesOf(run).map(({ taskId, tryNumber }) => [taskId, tryNumber]))
        })),
    deleteRun: (dagId, runId) => read(`delete the run ${runId}`, () => void state.runs.delete(keyOf(dagId, runId))),

    taskInstances: (dagId, runId) => withRun(`list the tasks of ${runId}`, dagId, runId, instancesOf),
    readLog: (dagId, runId, taskId, mapIndex, tryNumber) => {
      const operation = `read the log of ${taskId}`
      return withTask(operation, dagId, runId, taskId, (course, run) => {
        const task = instanceOf(course.task, mapIndex)
        if (!indicesOf(task).includes(mapIndex)) return fail("notFound", operation, `it has no instance ${mapIndex}`)
        if (tryNumber < 1 || tryNumber > look(course, run).tryNumber) return Effect.succeed({ lines: [], sources: [] })
        // tries from before a clear are over, whenever they were
        const begin = tryNumber < course.firstTry ? run.queuedAt : beginOf(course, tryNumber)
        const line = (at: number, level: string, message: string, errors: LogLine["errors"] = []): LogLine => ({
          tryNumber,
          timestamp: timeOf(at),
          level: Option.some(level),
          logger: Option.none(),
          message,
          fields: {},
          errors
        })
        const prints = task.log.split("\n").map((message, index, all) =>
          line(begin + course.duration * index / all.length, "INFO", message)
        )
        const trace = task.error === undefined || !fails(task, tryNumber)
          ? []
          : [line(begin + course.duration, "ERROR", "Task failed with exception", [{ ...task.error, frames: [] }])]
        const isThere = ({ timestamp }: LogLine) =>
          tryNumber < course.firstTry || Option.exists(timestamp, ({ epochMillis }) => epochMillis <= endOfSight(run))
        return Effect.succeed({
          lines: [...prints, ...trace].filter(isThere),
          sources: [`${baseUrl}/logs/${dagId}/${runId}/${taskId}/${mapIndex}/${tryNumber}.log`]
        })
      })
    },
    xcom: (dagId, runId, taskId, { key = "return_value", mapIndex = -1 } = {}) => {
      const operation = `read what ${taskId} pushed as ${key}`
      return withTask(operation, dagId, runId, taskId, (course, run) => {
        const { xcom = {} } = instanceOf(course.task, mapIndex)
        return look(course, run).state === "success" && key in xcom && indicesOf(course.task).includes(mapIndex)
          ? Effect.succeed(xcom[key])
          : fail("notFound", operation, "it is not there")
      })
    },
    xcomKeys: (dagId, runId, taskId) =>
      withTask(`list what ${taskId} pushed`, dagId, runId, taskId, (course, run) =>
        Effect.sync(() => {
          if (look(course, run).state !== "success") return []
          const pushed = indicesOf(course.task).map((mapIndex) => instanceOf(course.task, mapIndex).xcom)
          return Object.keys(Object.assign({}, ...pushed))
        })),

    variables: collection("variable", state.variables, {
      name: ({ key }) => key,
      view: (variable) => isThree && soundsSecret.test(variable.key) ? { ...variable, value: "***" } : variable
    }),
    connections: collection<NewConnection, Connection>("connection", state.connections, {
      name: ({ id }) => id,
      view: ({ password: _, ...connection }) => ({
        ...connection,
        extra: connection.extra && Object.fromEntries(
          Object.entries(connection.extra).map(([name, value]) => [name, soundsSecret.test(name) ? "***" : value])
        )
      }),
      refuse: (id) => !/^[\w.-]+$/.test(id)
    }),
    pools: {
      ...pools,
      remove: (name) =>
        name === defaultPool
          ? fail("badRequest", `remove the pool ${name}`, "it cannot be removed")
          : pools.remove(name),
      removeAll: (names) => pools.removeAll(names.filter((name) => name !== defaultPool))
    },
    users: {
      create: (user) =>
        read(`create the user ${user.username}`, () => {
          if (state.users.has(user.username)) return "exists"
          state.users.set(user.username, user)
          return "created"
        }),
      get: (username) =>
        awake(`read the user ${username}`, () => {
          const user = state.users.get(username)
          return user === undefined
            ? fail("notFound", `read the user ${username}`, "there is no such user")
            : Effect.succeed({ username, email: `${username}@example.org`, roles: user.roles ?? ["Admin"] })
        }),
      remove: (username) => read(`remove the user ${username}`, () => void state.users.delete(username))
    },
    request: (method, path) => fail("unsupported", `${method} ${path}`, "it has no HTTP API")
  }
}
