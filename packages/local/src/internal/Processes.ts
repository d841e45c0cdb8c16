/**
 * The processes of this machine: which belong to a session, and whether a pid is still the process that it was.
 *
 * They come from `/proc`. Without it they come from `ps`, which knows no sessions: there the members of a session are its leader's process
 * group, and what descends from the leader.
 */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"

/** A process that is not mistaken for a later one with the same pid. */
export interface ProcessId {
  readonly pid: number
  /** In the system's own words, only to be compared. */
  readonly startedAt: string
}

export interface Process extends ProcessId {
  readonly parent: number
  readonly group: number
  /** 0 if it is unknown. */
  readonly session: number
  /** The command line, or what the process has put in its place. */
  readonly title: string
}

/** When the process with this pid started, or `undefined` if none runs. */
export const startedAt = (pid: number): Effect.Effect<string | undefined> =>
  Effect.sync(() =>
    hasProc() ? factsOf(pid)?.startedAt : listWithPs().find((process) => process.pid === pid)?.startedAt
  )

/** Whether this very process runs. One that has ended and was not reaped does not. */
export const isSame = (id: ProcessId): Effect.Effect<boolean> =>
  Effect.map(startedAt(id.pid), (current) => current === id.startedAt)

/** Signals a process, unless it has ended. */
export const kill = (id: ProcessId, signal: NodeJS.Signals): Effect.Effect<void> =>
  Effect.map(isSame(id), (isRunning) => {
    if (!isRunning) return
    try {
      process.kill(id.pid, signal)
    } catch {
      // it has ended in between
    }
  })

/** Every running process that this one can see. */
export const list: Effect.Effect<ReadonlyArray<Process>> = Effect.sync(() =>
  hasProc() ? listFacts().map(withTitle) : listWithPs()
)

/** The running members of the sessions that these processes lead or have led. */
export const sessionMembers = (leaders: ReadonlyArray<ProcessId>): Effect.Effect<ReadonlyArray<Process>> =>
  Effect.sync(() => hasProc() ? membersOf(listFacts(), leaders).map(withTitle) : membersOf(listWithPs(), leaders))

/** The environment that a process was started with, as `NAME=value`. Empty for a process that has set its title. */
export const variablesOf = (pid: number): Effect.Effect<ReadonlyArray<string>> =>
  Effect.sync(() => read(`/proc/${pid}/environ`)?.split("\0") ?? [])

/** Whether a process works in this folder, by whatever name. */
export const worksIn = (pid: number, folder: string): Effect.Effect<boolean> =>
  Effect.sync(() => {
    try {
      const [current, other] = [fs.statSync(`/proc/${pid}/cwd`), fs.statSync(folder)]
      return current.dev === other.dev && current.ino === other.ino
    } catch {
      return false
    }
  })

/** Selects the members of sessions. A leader whose pid is another process now has left none. */
export const membersOf = <P extends Omit<Process, "title">>(
  all: ReadonlyArray<P>,
  leaders: ReadonlyArray<ProcessId>
): ReadonlyArray<P> => {
  // the pid of a leader is not given to another process while its session has members
  const ids = new Set(
    leaders.filter((leader) => all.every(({ pid, startedAt }) => pid !== leader.pid || startedAt === leader.startedAt))
      .map(({ pid }) => pid)
  )
  const tree = new Set(descendantsOf(all, ids))
  return all.filter((process) =>
    process.session === 0
      ? ids.has(process.group) || ids.has(process.pid) || tree.has(process)
      : ids.has(process.session)
  )
}

/** Selects the children of processes, their children and so on. */
export const descendantsOf = <P extends Pick<Process, "pid" | "parent">>(
  all: ReadonlyArray<P>,
  pids: Iterable<number>
): ReadonlyArray<P> => {
  const known = new Set(pids)
  const found: Array<P> = []
  for (let isNew = true; isNew;) {
    const next = all.filter(({ parent, pid }) => known.has(parent) && !known.has(pid))
    for (const { pid } of next) known.add(pid)
    found.push(...next)
    isNew = next.length > 0
  }
  return found
}

// internal

type Facts = Omit<Process, "title">

const hasProc = () => fs.existsSync("/proc/self/stat")

const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/** Parses `/proc/PID/stat`. The name in parentheses may contain anything; the start time is field 22 of the line. */
export const parseStat = (pid: number, stat: string): Facts | undefined => {
  const [state, parent, group, session, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  // a zombie has ended, and waits only for its parent
  if (state === undefined || /[ZXx]/.test(state)) return undefined
  return { pid, parent: Number(parent), group: Number(group), session: Number(session), startedAt: rest[15] ?? "" }
}

const factsOf = (pid: number): Facts | undefined => {
  const stat = read(`/proc/${pid}/stat`)
  return stat === undefined ? undefined : parseStat(pid, stat)
}

const listFacts = (): ReadonlyArray<Facts> =>
  fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => factsOf(Number(name)) ?? [])

const withTitle = (facts: Facts): Process => ({
  ...facts,
  title: (read(`/proc/${facts.pid}/cmdline`) ?? "").replaceAll("\0", " ").trim()
})

/** Parses a line of `ps`. A start time is five words. */
export const parsePs = (line: string): Process | undefined => {
  const [, pid, parent, group, state = "Z", startedAt = "", title = ""] =
    /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S+\s+\S+\s+\S+\s+\S+\s+\S+)\s+(.*)$/.exec(line) ?? []
  return state.startsWith("Z")
    ? undefined
    : { pid: Number(pid), parent: Number(parent), group: Number(group), session: 0, startedAt, title }
}

const listWithPs = (): ReadonlyArray<Process> => {
  const columns = ["pid=", "ppid=", "pgid=", "stat=", "lstart=", "command="]
  const output = execFileSync("ps", ["-axww", ...columns.flatMap((column) => ["-o", column])], {
    encoding: "utf8",
    // the start time is in the words of the locale
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    maxBuffer: 16 * 1024 * 1024
  })
  return output.split("\n").flatMap((line) => parsePs(line) ?? [])
}
