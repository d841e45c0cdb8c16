import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import * as fs from "node:fs"
import * as Snapshot from "../../src/internal/supervisor/Snapshot.js"
import * as database from "./database.js"

describe("Snapshot.take", () => {
  it.scopedLive("replaces the snapshot, and leaves no other file", () =>
    Effect.gen(function*() {
      const world = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      world.sql.exec("INSERT INTO xcom VALUES ('new')")
      // what is left of a copy that was cut short
      fs.writeFileSync(`${world.snapshot}.new`, "half")
      yield* Snapshot.take(world.database, world.snapshot)
      assert.deepStrictEqual(database.rows(yield* database.open(world.snapshot), "SELECT * FROM xcom"), ["new"])
      assert.deepStrictEqual(
        fs.readdirSync(world.folder).filter((name) => !name.startsWith("airflow.db")),
        ["snapshot.db"]
      )
    }))

  it.scopedLive("has the users of another snapshot, and no runs", () =>
    Effect.gen(function*() {
      const world = yield* database.make
      const base = `${world.folder}/base.db`
      yield* Snapshot.take(world.database, base)
      world.sql.exec(`
        INSERT INTO variable VALUES (2, 'new', '');
        INSERT INTO xcom VALUES ('of a run');
        INSERT INTO task_instance VALUES ('a', 'running');
        UPDATE dag SET is_paused = 0;
        CREATE TABLE ab_register_user (username TEXT);
        INSERT INTO ab_register_user VALUES ('lease');
        INSERT INTO ab_user VALUES (2, 'lease', 0);
        INSERT INTO ab_user_role VALUES (2, 2, 1);
        UPDATE ab_user SET username = 'renamed' WHERE id = 1
      `)
      yield* Snapshot.take(world.database, world.snapshot, { usersOf: base })
      const copy = yield* database.open(world.snapshot)
      assert.deepStrictEqual(database.rows(copy, "SELECT * FROM ab_user"), ["1 admin 0"])
      assert.deepStrictEqual(database.rows(copy, "SELECT dag_id, is_paused FROM dag"), ["a 1", "b 1"])
      for (const table of ["dag_run", "task_instance", "xcom"]) {
        assert.deepStrictEqual(database.rows(copy, `SELECT * FROM ${table}`), [])
      }
      assert.deepStrictEqual(database.rows(copy, "SELECT * FROM ab_user_role"), ["1 1 1"])
      assert.deepStrictEqual(database.rows(copy, "SELECT * FROM ab_register_user"), [])
      assert.deepStrictEqual(database.rows(copy, "SELECT key FROM variable"), ["kept", "new"])
    }))

  it.scopedLive("keeps the snapshot if the database is gone, and does not create one", () =>
    Effect.gen(function*() {
      const world = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      const missing = `${world.folder}/missing.db`
      const error = yield* Effect.flip(Snapshot.take(missing, world.snapshot))
      assert.include(error.message, `${missing} does not exist`)
      assert.isFalse(fs.existsSync(missing))
      assert.isTrue(fs.existsSync(world.snapshot))
      const withoutBase = yield* Effect.flip(Snapshot.take(world.database, world.snapshot, { usersOf: missing }))
      assert.include(withoutBase.message, `${missing} does not exist`)
      assert.isFalse(fs.existsSync(`${world.snapshot}.new`))
    }))
})

describe("Snapshot.quiet", () => {
  it.scopedLive("pauses all DAGs, and ends what has not ended", () =>
    Effect.gen(function*() {
      const { database: file, sql } = yield* database.make
      sql.exec(`
        UPDATE dag SET is_paused = 0;
        INSERT INTO dag_run VALUES (2, 'a', 'running'), (3, 'a', 'queued');
        INSERT INTO task_instance VALUES ('done', 'success'), ('runs', 'running'), ('waits', NULL), ('defers', 'deferred')
      `)
      yield* Snapshot.quiet(file)
      assert.deepStrictEqual(database.rows(sql, "SELECT is_paused FROM dag"), ["1", "1"])
      assert.deepStrictEqual(database.rows(sql, "SELECT id, state FROM dag_run"), ["1 success", "2 failed", "3 failed"])
      assert.deepStrictEqual(
        database.rows(sql, "SELECT * FROM task_instance"),
        ["done success", "runs failed", "waits failed", "defers failed"]
      )
    }))
})

describe("Snapshot.restore", () => {
  it.scopedLive("puts every row back, except what must go on", () =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      sql.exec(`
        UPDATE dag SET is_paused = 0, last_parsed_time = '11:00', next_dagrun = '2';
        DELETE FROM dag_run;
        DELETE FROM dag WHERE dag_id = 'b';
        INSERT INTO dag VALUES ('c', 0, '11:00', '2');
        INSERT INTO dag_run VALUES (1, 'c', 'failed'), (2, 'c', 'failed');
        INSERT INTO dataset (uri) VALUES ('y');
        UPDATE variable SET val = 'after';
        INSERT INTO variable VALUES (2, 'left', '');
        INSERT INTO xcom VALUES ('left');
        INSERT INTO ab_user VALUES (2, 'lease', 0);
        UPDATE job SET latest_heartbeat = '11:00';
        INSERT INTO job VALUES (2, 'LocalTaskJob', '11:00'), (3, 'TriggererJob', '11:00');
        INSERT INTO revoked_token VALUES ('revoked');
        CREATE TABLE later (id INTEGER);
        INSERT INTO later VALUES (1)
      `)
      yield* Snapshot.restore(world.database, world.snapshot)
      const rowsOf = (table: string) => database.rows(sql, `SELECT * FROM ${table} ORDER BY 1`)
      assert.deepStrictEqual(rowsOf("dag"), ["a 1 11:00 1", "b 1 10:00 1"])
      assert.deepStrictEqual(rowsOf("dag_run"), ["1 a success"])
      assert.deepStrictEqual(rowsOf("dataset"), ["1 x"])
      assert.deepStrictEqual(rowsOf("variable"), ["1 kept before"])
      for (const table of ["xcom", "later"]) assert.deepStrictEqual(rowsOf(table), [], table)
      assert.deepStrictEqual(rowsOf("ab_user"), ["1 admin 0"])
      assert.deepStrictEqual(rowsOf("job"), ["1 SchedulerJob 11:00", "3 TriggererJob 11:00"])
      assert.deepStrictEqual(rowsOf("revoked_token"), ["revoked"])
      assert.deepStrictEqual(yield* Snapshot.differences(world.database, world.snapshot), [])
    }))

  it.scopedLive("waits for a lock without blocking, and closes its connection", () =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      sql.exec("INSERT INTO xcom VALUES ('left'); BEGIN IMMEDIATE")
      const restore = yield* Effect.fork(Snapshot.restore(world.database, world.snapshot))
      yield* Effect.yieldNow()
      assert.isTrue(Option.isNone(yield* Fiber.poll(restore)))
      sql.exec("COMMIT")
      yield* Fiber.join(restore)
      assert.deepStrictEqual(database.rows(sql, "SELECT * FROM xcom"), [])
      // not possible while another connection is open
      assert.strictEqual(sql.pragma("journal_mode = DELETE", { simple: true }), "delete")
    }))

  it.scopedLive("changes nothing if the snapshot is missing or empty", () =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      const refused = Effect.map(
        Effect.flip(Snapshot.restore(world.database, world.snapshot)),
        ({ message }) => message
      )
      assert.include(yield* refused, "does not exist")
      fs.writeFileSync(world.snapshot, "")
      assert.include(yield* refused, "different versions")
      assert.deepStrictEqual(database.rows(sql, "SELECT * FROM variable"), ["1 kept before"])
    }))

  it.scopedLive("changes nothing if it fails half-way", () =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      const copy = yield* database.open(world.snapshot)
      copy.exec("ALTER TABLE xcom RENAME COLUMN value TO other")
      sql.exec("INSERT INTO dataset (uri) VALUES ('y')")
      yield* Effect.flip(Snapshot.restore(world.database, world.snapshot))
      assert.deepStrictEqual(database.rows(sql, "SELECT * FROM dataset"), ["1 x", "2 y"])
      copy.exec("UPDATE alembic_version SET version_num = 'other'")
      const { detail } = yield* Effect.flip(Snapshot.restore(world.database, world.snapshot))
      assert.include(detail, "different versions")
    }))
})

describe("Snapshot.differences", () => {
  const differencesAfter = (changes: string) =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      yield* Snapshot.take(world.database, world.snapshot)
      sql.exec(changes)
      return yield* Snapshot.differences(world.database, world.snapshot)
    })

  it.scopedLive.each([
    { changes: "INSERT INTO xcom VALUES ('new')", tables: ["xcom"] },
    { changes: "DELETE FROM variable", tables: ["variable"] },
    { changes: "UPDATE variable SET val = NULL", tables: ["variable"] },
    {
      changes: "UPDATE dag SET is_paused = 0; INSERT INTO dag_run VALUES (2, 'b', 'failed')",
      tables: ["dag", "dag_run"]
    },
    { changes: "CREATE TABLE later (id INTEGER)", tables: [] },
    { changes: "CREATE TABLE later (id INTEGER); INSERT INTO later VALUES (1)", tables: ["later"] },
    { changes: "DROP TABLE xcom", tables: [] },
    { changes: "DROP TABLE variable", tables: ["variable"] },
    { changes: "ALTER TABLE xcom ADD COLUMN more", tables: ["xcom"] },
    // what happens by itself
    { changes: "UPDATE dag SET last_parsed_time = '11:00', next_dagrun = '2'", tables: [] },
    { changes: "UPDATE job SET latest_heartbeat = '11:00'", tables: [] },
    { changes: "UPDATE ab_user SET login_count = 1", tables: [] },
    { changes: "INSERT INTO revoked_token VALUES ('revoked')", tables: [] },
    { changes: "INSERT INTO dataset (uri) VALUES ('y'); DELETE FROM dataset WHERE uri = 'y'", tables: [] }
  ])(
    "names $tables after $changes",
    ({ changes, tables }) =>
      Effect.map(differencesAfter(changes), (found) => assert.deepStrictEqual([...found], tables))
  )

  it.scopedLive("sees a row that is there twice", () =>
    Effect.gen(function*() {
      const { sql, ...world } = yield* database.make
      sql.exec("INSERT INTO xcom VALUES ('same')")
      yield* Snapshot.take(world.database, world.snapshot)
      sql.exec("INSERT INTO xcom VALUES ('same')")
      assert.deepStrictEqual(yield* Snapshot.differences(world.database, world.snapshot), ["xcom"])
    }))
})
