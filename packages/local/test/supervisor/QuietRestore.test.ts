import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { spawn } from "node:child_process"
import * as Processes from "../../src/internal/Processes.js"
import * as QuietRestore from "../../src/internal/supervisor/QuietRestore.js"
import * as Snapshot from "../../src/internal/supervisor/Snapshot.js"
import * as database from "./database.js"

describe("QuietRestore.restore", () => {
  /** A part of Airflow with a task, over a database that a test has changed. */
  const dirty = Effect.gen(function*() {
    const world = yield* database.make
    yield* Snapshot.take(world.database, world.snapshot)
    world.sql.exec(`INSERT INTO xcom VALUES ('left');
      INSERT INTO dag_run VALUES (2, 'a', 'running');
      INSERT INTO task_instance VALUES ('done', 'success'), ('runs', 'running'), ('waits', NULL);
      UPDATE dag SET is_paused = 0`)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], {
          argv0: "airflow task runner: a b manual__2024 3",
          detached: true,
          stdio: "ignore"
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const pid = child.pid ?? assert.fail("it did not start")
    const task = { pid, startedAt: (yield* Processes.startedAt(pid)) ?? assert.fail("it has ended") }
    /** What a scheduler does at the end of each turn. */
    const turn = Effect.sync(() => world.sql.exec("UPDATE job SET latest_heartbeat = latest_heartbeat || '1'"))
    const scheduler = yield* Effect.forkScoped(Effect.repeat(turn, Schedule.spaced("50 millis")))
    return {
      database: database.snapshots(world.database, world.snapshot),
      home: world.folder,
      sql: world.sql,
      sessions: [task],
      task,
      turn,
      scheduler,
      isAlive: Effect.succeed(true)
    }
  })

  it.scopedLive("kills tasks and restores", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      assert.strictEqual(yield* QuietRestore.restore(options), "restored")
      assert.isFalse(yield* Processes.isSame(options.task))
      assert.deepStrictEqual(database.rows(options.sql, "SELECT * FROM xcom"), [])
    }))

  it.scopedLive("restores when the scheduler has finished a turn in which there was nothing to do", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      yield* Fiber.interrupt(options.scheduler)
      // the scheduler ends its turn when it is asked for the fifth time
      let asked = 0
      const heartbeat = Effect.zipRight(
        Effect.suspend(() => ++asked === 5 ? options.turn : Effect.void),
        options.database.heartbeat
      )
      let before: ReadonlyArray<string> = []
      const restore = Effect.zipRight(
        Effect.sync(() => {
          before = database.rows(options.sql, "SELECT state, is_paused FROM dag_run JOIN dag USING (dag_id)")
        }),
        options.database.restore
      )
      const result = yield* QuietRestore.restore({ ...options, database: { ...options.database, heartbeat, restore } })
      assert.strictEqual(result, "restored")
      assert.isAtLeast(asked, 5)
      assert.deepStrictEqual(before, ["success 1", "failed 1"])
      assert.deepStrictEqual(database.rows(options.sql, "SELECT * FROM xcom"), [])
    }))

  it.scopedLive("reports a scheduler that hangs, a part that has ended, and rows that appear meanwhile", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      yield* Fiber.interrupt(options.scheduler)
      // the tables are restored in the order of their names
      options.sql.exec(
        "CREATE TRIGGER late AFTER DELETE ON xcom BEGIN INSERT INTO variable VALUES (2, 'late', ''); END"
      )
      const result = yield* QuietRestore.restore({ ...options, isAlive: Effect.succeed(false) })
      assert.deepStrictEqual(result, {
        dirty: ["variable", "a scheduler that hangs", "a process of Airflow that has ended"]
      })
    }))
})
