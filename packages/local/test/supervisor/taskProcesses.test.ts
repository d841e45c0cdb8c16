import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { spawn } from "node:child_process"
import * as os from "node:os"
import * as Processes from "../../src/internal/Processes.js"
import * as taskProcesses from "../../src/internal/supervisor/taskProcesses.js"

/** A scheduler with pid 1 that the launcher, 9, has started, which leads a session of its own. */
const scheduler = (...processes: ReadonlyArray<readonly [pid: number, parent: number, title: string]>) =>
  [[9, 0, "python launcher.py"] as const, [1, 9, "python airflow scheduler"] as const, ...processes].map(
    ([pid, parent, title]) => ({ pid, parent, title, group: pid, session: pid === 9 ? 9 : 1, startedAt: "1" })
  )

const tasksOf = (processes: ReturnType<typeof scheduler>) =>
  Array.from(new Set(taskProcesses.ofMembers(processes).map(({ pid }) => pid))).sort()

const uuid = "01a228eb-24d4-760b-89ca-3a60bfa564d1"

describe("the processes of tasks", () => {
  it("are not the parts of Airflow 2, nor their workers", () => {
    const idle = [
      [2, 1, "gunicorn: master [gunicorn]"],
      [3, 2, "gunicorn: worker [gunicorn]"],
      [4, 1, "airflow executor -- LocalExecutor"],
      [5, 1, "airflow worker -- LocalExecutor"],
      [6, 1, "airflow worker -- LocalExecutor: ['airflow', 'tasks', 'run', 'a', 'b']"],
      [7, 1, "airflow scheduler -- DagFileProcessorManager"],
      [8, 7, "airflow scheduler - DagFileProcessor /dags/a.py"]
    ] as const
    assert.deepStrictEqual(tasksOf(scheduler(...idle)), [])
    const busy = [
      [20, 6, "airflow task supervisor: ['airflow', 'tasks', 'run', 'a', 'b']"],
      [21, 20, "airflow task runner: a b manual__2024 3"],
      [22, 21, "sleep 60"],
      // their parents have ended
      [23, 9, "airflow task runner: c d manual__2024 2"],
      [24, 9, "sleep 60"]
    ] as const
    assert.deepStrictEqual(tasksOf(scheduler(...idle, ...busy)), [20, 21, 22, 23, 24])
  })

  it("are not the parts of Airflow 3, nor their workers", () => {
    const idle = [
      [2, 1, "airflow serve-logs"],
      [3, 1, "airflow worker -- LocalExecutor: <idle>"],
      [4, 1, `airflow worker -- LocalExecutor: ${uuid}`]
    ] as const
    assert.deepStrictEqual(tasksOf(scheduler(...idle)), [])
    const busy = [
      [20, 4, `airflow worker -- ${uuid}`],
      // has not set its title yet
      [21, 3, "airflow worker -- LocalExecutor: <idle>"],
      [22, 20, "sleep 60"],
      [23, 9, `airflow worker -- ${uuid}`]
    ] as const
    assert.deepStrictEqual(tasksOf(scheduler(...idle, ...busy)), [20, 21, 22, 23])
  })

  it.scopedLive("are also those that have left the session, but not those of another Airflow", () =>
    Effect.gen(function*() {
      const home = os.tmpdir()
      const stayAMinute = "setTimeout(() => {}, 60000)"
      const stay = "setInterval(() => {}, 1000)"
      /** Starts a process in a session of its own. */
      const launch = (
        options: { readonly script?: string; readonly title?: string; readonly env?: object; readonly cwd?: string }
      ) =>
        Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, ["-e", options.script ?? stay], {
              detached: true,
              stdio: "ignore",
              argv0: options.title,
              cwd: options.cwd ?? home,
              env: { ...options.env, PATH: process.env["PATH"] }
            })
          ),
          (child) => Effect.sync(() => child.kill("SIGKILL"))
        )
      const mark = (home: string) => ({ AIRFLOW_HOME: home, AIRFLOW_CTX_DAG_ID: "a" })
      const title = "airflow task runner: a b manual__2024 3"
      const child = `require("child_process").spawn(process.execPath, ["-e", ${
        JSON.stringify(stayAMinute)
      }], { detached: true })`
      const leader = yield* launch({ script: `${child}; ${stay}` })
      const fork = yield* launch({ title })
      const program = yield* launch({ env: mark(home) })
      yield* launch({ title, cwd: "/" })
      yield* launch({ env: mark(`${home}/other`) })
      yield* launch({ env: { AIRFLOW_HOME: home } })

      const pid = leader.pid ?? assert.fail("it did not start")
      const sessions = [{ pid, startedAt: (yield* Processes.startedAt(pid)) ?? assert.fail("it has ended") }]
      const all = Effect.map(Processes.list, (all) => all.find(({ parent }) => parent === pid)?.pid)
      const left = yield* all.pipe(
        Effect.filterOrFail((pid) => pid !== undefined),
        Effect.retry(Schedule.upTo(Schedule.spaced("20 millis"), "1 minute"))
      )
      const found = yield* taskProcesses.list({ home, sessions })
      for (const { pid } of found.filter(({ pid }) => pid === left)) process.kill(pid, "SIGKILL")
      assert.deepStrictEqual(found.map(({ pid }) => pid).sort(), [left, fork.pid, program.pid].sort())
    }))
})
