/** A run of vitest that is ended while its test is in one phase of its lease. Afterwards no command is run: the reaper has to clean up. */
import { Polling } from "@airflow-resource/airflow"
import { DeploymentPool } from "@airflow-resource/core"
import { Emulator, type Faults } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { assert } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import { Cause, Clock, Deferred, Effect, Option, Redacted, Schedule, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import type { Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import * as Child from "../child.js"

/** The phases of a lease, and what the ledger shows of a holder in each. */
export const phases = {
  queue: undefined,
  create: "creating",
  wake: "waking",
  reset: "resetting",
  use: "in use",
  release: "hibernating"
} as const
export type Phase = keyof typeof phases

/** How a run ends. Without a terminal, its process group gets the signals that a terminal would send. */
export const ends = {
  "Ctrl-C": ({ group }) => process.kill(-group, "SIGINT"),
  "Ctrl-C twice": ({ group }) => {
    process.kill(-group, "SIGINT")
    process.kill(-group, "SIGINT")
  },
  "SIGTERM": ({ group }) => process.kill(group, "SIGTERM"),
  "SIGHUP": ({ group }) => process.kill(-group, "SIGHUP"),
  "kill -9 of the worker": ({ worker }) => process.kill(worker, "SIGKILL"),
  "kill -9 of the main process": ({ group }) => process.kill(group, "SIGKILL"),
  "kill -9 of all processes": ({ group }) => process.kill(-group, "SIGKILL")
} as const satisfies Record<string, (run: Run) => void>

/** The same in a real terminal, which needs Python. */
export const endsInTerminal = {
  "Ctrl-C in a terminal": ({ terminal }) => terminal.write("\x03"),
  "Ctrl-C twice in a terminal": ({ terminal }) => terminal.write("\x03\x03"),
  "a closed terminal": ({ group }) => process.kill(group, "SIGKILL")
} as const satisfies Record<string, (run: Run) => void>
export type End = keyof typeof ends | keyof typeof endsInTerminal

interface Run {
  /** The process group's id, which is the pid of its first process: vitest, or the terminal that it runs in. */
  readonly group: number
  /** The process that leases. */
  readonly worker: number
  /** What is typed in the terminal. */
  readonly terminal: Writable
}

export interface Scene {
  readonly phase: Phase
  readonly end: End
  readonly pool: "forks" | "threads"
  readonly globalSetup: boolean
}

/** Returns how many seconds after the end everything was clean. */
export const play = (scene: Scene): Effect.Effect<number, unknown, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const { end, globalSetup, phase, pool } = scene
    const emulator = yield* Emulator.make({ speed: 200 })
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const env = { ...Child.environment(emulator, folder, 1), AIRFLOW_RESOURCE_REAPER: "on" }
    const settings = yield* AirflowResources.settingsOf(emulator, { ...env, AIRFLOW_RESOURCE_REAPER: "off" })

    // another process has leased before, and left something behind; or it holds the only deployment
    const { release } = phase === "create"
      ? { release: Effect.void }
      : yield* leaseInProcess({ ...env, AIRFLOW_RESOURCE_REAPER: "off" })
    if (phase !== "queue") yield* release

    const lands = yield* Deferred.make<void>()
    const late: Faults.Outcome = { _tag: "Late", after: Deferred.await(lands), responds: true }
    for (const fault of faultsOf(phase, late)) yield* emulator.faults.next(fault)
    const run = yield* runVitest(end in endsInTerminal, {
      ...env,
      AIRFLOW_RESOURCE_TEST_PHASE: phase,
      AIRFLOW_RESOURCE_TEST_POOL: pool,
      AIRFLOW_RESOURCE_TEST_SETUP: String(globalSetup)
    })
    const inspect = Effect.flatMap(DeploymentPool.DeploymentPool, (pool) => pool.inspect).pipe(
      Effect.provide(AirflowResources.layerPool(settings))
    )
    const worker = yield* untilSome("the phase", inspect, ({ slots, tickets }) => {
      const [ticket] = tickets.filter(({ state }) => state === "waiting")
      const [slot] = slots
      const isReached = phase === "queue" ? ticket !== undefined : slot?.holder?.activity === phases[phase]
      return isReached ? (phase === "queue" ? ticket?.owner.pid : slot?.holder?.owner.pid) : undefined
    })
    yield* untilSome("the request", emulator.faults.pending, (left) => left === 0 || undefined)

    const endedAt = yield* Clock.currentTimeMillis
    const kill: (run: Run) => unknown = { ...ends, ...endsInTerminal }[end]
    kill({ ...run, worker })
    yield* untilSome("its end", Effect.sync(() => isAlive(worker)), (alive) => !alive || undefined)
    yield* Deferred.succeed(lands, undefined)
    yield* release
    // a process that has never had a lease has not started one, and leaves nothing
    const hasReaper = phase !== "queue" || globalSetup
    const reaper = hasReaper ? yield* untilSome("a reaper", inspect, ({ upkeep }) => upkeep.holder?.owner.pid) : 0
    if (hasReaper) {
      assert.notInclude(fs.readFileSync(`/proc/${reaper}/cmdline`, "utf8"), Redacted.value(emulator.astroToken))
    }
    yield* untilSome(
      "a clean cloud",
      emulator.audit,
      ({ awake, tokens }) => awake.length + tokens.length === 0 || undefined
    )
    const cleanAt = yield* Clock.currentTimeMillis
    // and it stays clean
    yield* untilSome("the reaper's end", inspect, ({ upkeep }) => upkeep.holder === null || undefined)
    const { awake, tokens } = yield* emulator.audit
    assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    const { slots } = yield* inspect
    assert.isTrue(slots.every(({ holder, tokens }) => holder === null && !tokens.mayExist))
    // first, because the reaper's end deletes SQLite's files that belong to its connection
    yield* untilSome(
      "the end of its process",
      Effect.sync(() => hasReaper && isAlive(reaper)),
      (alive) => !alive || undefined
    )
    for (const file of fs.readdirSync(folder)) {
      assert.notInclude(fs.readFileSync(`${folder}/${file}`, "latin1"), Redacted.value(emulator.astroToken), file)
    }
    return (cleanAt - endedAt) / 1000
  })

// internal

/** Holds back the request that is to be on its way when the run ends. */
const faultsOf = (phase: Phase, late: Faults.Outcome): ReadonlyArray<Faults.Fault> => {
  const power = { method: "POST", path: /hibernation-override$/ }
  switch (phase) {
    case "queue":
    case "use":
      return []
    case "create":
      return [{ match: { method: "POST", path: /\/deployments$/ }, then: late }]
    case "wake":
      return [{ match: power, then: late }]
    case "reset":
      return [{ match: { method: "DELETE", path: /\/variables\// }, then: late }]
    case "release":
      // the first one wakes it
      return [{ match: power, then: { _tag: "Delay", duration: 0 } }, { match: power, then: late }]
  }
}

const require = createRequire(import.meta.url)

/** Leases in a process of its own. Returns how to give the lease back, which ends the process. */
const leaseInProcess = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, Child.program(new URL("other.ts", import.meta.url)), {
          env,
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const ended = once(child, "close")
    const failed = ended.then(() => Promise.reject(new Error("the other process has ended without a lease")))
    yield* Effect.promise(() => Promise.race([once(child.stdout, "data"), failed]))
    const release = Effect.promise(() => {
      child.stdin.end()
      return ended
    })
    return { release }
  })

/** Starts vitest in a process group of its own, which ends with the scope. */
const runVitest = (inTerminal: boolean, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync((): Omit<Run, "worker"> => {
      const vitest = [
        process.execPath,
        path.join(path.dirname(require.resolve("vitest/package.json")), "vitest.mjs"),
        "run",
        "--config",
        fileURLToPath(new URL("vitest.config.ts", import.meta.url))
      ]
      const terminal = ["python3", "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]
      const [program = "", ...args] = inTerminal ? [...terminal, ...vitest] : vitest
      const child = spawn(program, args, {
        cwd: path.dirname(fileURLToPath(import.meta.url)),
        env: { ...env, NO_COLOR: "1", NODE_NO_WARNINGS: "1" },
        detached: true,
        stdio: ["pipe", "ignore", "ignore"]
      })
      return { group: child.pid!, terminal: child.stdin! }
    }),
    ({ group }) =>
      Effect.sync(() => {
        try {
          process.kill(-group, "SIGKILL")
        } catch {
          // it has ended
        }
      })
  )

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** Polls until `f` returns something, for four minutes at most. */
const untilSome = <A, B, E, R>(what: string, poll: Effect.Effect<A, E, R>, f: (a: A) => B | undefined) =>
  Polling.untilSome(
    Effect.map(poll, (a) => Option.fromNullable(f(a))),
    Schedule.spaced("100 millis")
  ).pipe(
    Effect.timeoutFailCause({
      duration: "4 minutes",
      onTimeout: () => Cause.die(new Error(`${what}: not within 4 minutes`))
    })
  )
