/** Which processes of a running Airflow belong to its tasks, rather than to its parts and their workers. */
import * as Effect from "effect/Effect"
import * as Processes from "../Processes.js"

export interface Parts {
  /** The leaders of the sessions of Airflow's parts. */
  readonly sessions: ReadonlyArray<Processes.ProcessId>
  /** Airflow's home folder, which its parts also work in. */
  readonly home: string
}

/** The running processes that tasks are, or have started, even those that have left their task's session. */
export const list = ({ home, sessions }: Parts): Effect.Effect<ReadonlyArray<Processes.Process>> =>
  Effect.gen(function*() {
    const all = yield* Processes.list
    const members = Processes.membersOf(all, sessions)
    const others = all.filter((process) => !members.includes(process) && process.pid !== globalThis.process.pid)
    return select(all, [
      ...ofMembers(members),
      // Airflow's parts start nothing in another session
      ...Processes.descendantsOf(others, members.map(({ pid }) => pid)),
      ...yield* Effect.filter(others, (process) => isStray(process, home))
    ])
  })

/** Selects from the members of the parts' sessions. */
export const ofMembers = (members: ReadonlyArray<Processes.Process>): ReadonlyArray<Processes.Process> => {
  const sessions = new Map(members.map(({ pid, session }) => [pid, session]))
  const workers = members.filter(isWorker)
  // a task is forked by a worker, and has the worker's title at first
  const own = new Set(workers.map(({ pid }) => pid))
  const tasks = Processes.descendantsOf(members, workers.filter(({ parent }) => !own.has(parent)).map(({ pid }) => pid))
  // what a task has left behind after its end, which the launcher has adopted. A part's own processes end with it.
  const orphans = members.filter(({ parent, pid, session }) => pid !== session && sessions.get(parent) !== session)
  return [...tasks, ...orphans, ...members.filter(hasTaskTitle)]
}

// internal

const isWorker = ({ title }: Processes.Process) => title.startsWith("airflow worker -- LocalExecutor")

/** Titles of tasks in Airflow 2 and 3, which their forks inherit. */
const hasTaskTitle = ({ title }: Processes.Process) =>
  /^airflow (task (supervisor|runner): |worker -- [\da-f]{8}-[\da-f-]{27}$)/.test(title)

/**
 * Whether a task of this Airflow has started a process that has left its session and has no parent there. Other Airflows and the user may
 * have processes that look alike, hence two marks. A fork has lost its environment, but has the title of its task.
 */
const isStray = (process: Processes.Process, home: string): Effect.Effect<boolean> =>
  hasTaskTitle(process)
    ? Processes.worksIn(process.pid, home)
    : Effect.map(
      Processes.variablesOf(process.pid),
      (variables) =>
        variables.includes(`AIRFLOW_HOME=${home}`) &&
        variables.some((variable) => variable.startsWith("AIRFLOW_CTX_DAG_ID="))
    )

/** These processes and everything below them, each once. */
const select = (all: ReadonlyArray<Processes.Process>, roots: ReadonlyArray<Processes.Process>) => {
  const pids = new Set(roots.map(({ pid }) => pid))
  return Array.from(new Set([...roots, ...Processes.descendantsOf(all, pids)]))
}
