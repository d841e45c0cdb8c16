/** Dirties a real Airflow in every way, restores it while it runs, and compares its database and its processes with before. */
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Processes from "../src/internal/Processes.js"
import * as QuietRestore from "../src/internal/supervisor/QuietRestore.js"
import * as Snapshot from "../src/internal/supervisor/Snapshot.js"
import * as taskProcesses from "../src/internal/supervisor/taskProcesses.js"
import * as dirty from "./dirty.js"
import { snapshots } from "./supervisor/database.js"

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "snapshot-"))),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

const isNone = (processes: ReadonlyArray<Processes.ProcessId>) =>
  Effect.map(Effect.forEach(processes, Processes.isSame), (running) => !running.includes(true))

/** What a test that reads the database itself would see of a table. */
const count = (table: string) =>
  Effect.sync(() => {
    const connection = new Database(dirty.database, { readonly: true })
    try {
      return connection.prepare(`SELECT count(*) FROM ${table}`).pluck().get()
    } finally {
      connection.close()
    }
  })

describe(`the restore of a running Airflow ${dirty.version}`, () => {
  it.scopedLive("leaves nothing of a test, and its next run succeeds, five times", () =>
    Effect.gen(function*() {
      const snapshot = path.join(yield* folder, "airflow.db")
      const sessions = yield* dirty.parts
      const isAlive = Effect.map(Effect.forEach(sessions, Processes.isSame), (running) => !running.includes(false))
      const home = path.dirname(dirty.database)
      // if the test fails, what its tasks have started would outlive Airflow
      yield* Effect.addFinalizer(() =>
        Effect.flatMap(taskProcesses.list({ sessions, home }), (left) =>
          Effect.forEach(left, (process) => Processes.kill(process, "SIGKILL")))
      )
      yield* dirty.deliver
      const restore = QuietRestore.restore({
        database: snapshots(dirty.database, snapshot),
        home,
        sessions,
        isAlive
      })
      yield* Snapshot.take(dirty.database, snapshot)
      const before = yield* count("xcom")
      yield* Effect.forEach(Array.from({ length: 5 }), () =>
        Effect.gen(function*() {
          const left = yield* dirty.leave
          const filled = yield* Snapshot.differences(dirty.database, snapshot)
          const expected = ["connection", "dag", "dag_run", "log", "slot_pool", "task_instance", "variable", "xcom"]
          assert.includeMembers([...filled], [...expected, ...(dirty.major === 2 ? ["ab_user"] : ["backfill"])])

          assert.deepStrictEqual(yield* restore, "restored")
          assert.isTrue(yield* isNone(left), "a task has left a process")
          assert.isTrue(yield* isAlive)
          assert.strictEqual(yield* count("xcom"), before)
          assert.strictEqual(yield* count("job WHERE job_type = 'LocalTaskJob'"), 0)
          yield* dirty.runOnce
        }))
      assert.deepStrictEqual(yield* restore, "restored")
    }), 1_200_000)

  it.scopedLive.runIf(dirty.major === 2)("brings no user of a lease back", () =>
    Effect.gen(function*() {
      const home = yield* folder
      const [base, snapshot] = [path.join(home, "base.db"), path.join(home, "airflow.db")]
      yield* Snapshot.take(dirty.database, base)
      yield* dirty.createUser
      yield* Snapshot.take(dirty.database, snapshot, { usersOf: base })
      assert.includeMembers([...yield* Snapshot.differences(dirty.database, snapshot)], ["ab_user", "ab_user_role"])
      yield* Snapshot.restore(dirty.database, snapshot)
      const { body } = yield* dirty.send("GET", "/users?limit=100")
      assert.notInclude(body.users.map(({ username }: { readonly username: string }) => username), dirty.username)
    }))
})
