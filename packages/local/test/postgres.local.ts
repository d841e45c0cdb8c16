/** Real Airflows whose databases are on a real PostgreSQL server. */
import { LocalHome, PostgresServer } from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Redacted, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as Postgres from "../src/internal/Postgres.js"
import * as PostgresDatabase from "../src/internal/supervisor/PostgresDatabase.js"
import * as Home from "./home.js"
import * as Server from "./postgres.js"

const { holds } = Home
const { nameOf } = PostgresDatabase

/** What a test cannot see: times that Airflow renews by itself, its own processes, and tokens that are no longer valid. */
const ignored: Readonly<Record<string, ReadonlyArray<string> | "all">> = {
  job: "all",
  revoked_token: "all",
  dag: [
    "last_parsed_time",
    "last_parse_duration",
    "next_dagrun",
    "next_dagrun_data_interval_start",
    "next_dagrun_data_interval_end",
    "next_dagrun_create_after"
  ],
  dag_bundle: ["last_refreshed"],
  dataset: ["updated_at"],
  ab_user: ["last_login", "login_count", "fail_login_count", "changed_on"]
}

const prune = (home: string) => Effect.provide(LocalHome.prune(home), NodeContext.layer)

/** All rows of all tables of the database, or of its snapshot, by table. */
const rowsOf = (server: PostgresServer.PostgresServer, folder: string, schema: "public" | "snap" = "public") =>
  Postgres.use(server, nameOf(folder), (sql) =>
    Effect.gen(function*() {
      const tables = yield* sql<{ readonly table: string }>`
        SELECT tablename AS "table" FROM pg_tables WHERE schemaname = ${schema} ORDER BY 1`
      const rows: Record<string, ReadonlyArray<string>> = {}
      for (const { table } of tables) {
        const without = ignored[table] ?? []
        if (without === "all") continue
        const found = yield* sql.unsafe<{ readonly row: string }>(
          `SELECT (to_jsonb(t) - '{${
            without.join(",")
          }}'::text[])::text AS row FROM ${schema}."${table}" AS t ORDER BY 1`
        )
        // the triggerer starts last, and writes that it does
        rows[table] = found.map(({ row }) => row).filter((row) => !row.includes("\"cli_triggerer\""))
      }
      return rows
    }))

/** The files below a folder that have a text in them. */
const filesWith = (folder: string, text: string) =>
  fs.readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) =>
      fs.statSync(path.join(folder, name)).isFile() && fs.readFileSync(path.join(folder, name)).includes(text)
    )

const argumentsOfAll = () =>
  fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
    } catch {
      // it has ended
      return ""
    }
  }).join("\n")

describe(`a local Airflow ${Home.version} on PostgreSQL`, () => {
  it.scopedLive(
    "has a database of its own, which a reset restores and which ends with it",
    () =>
      Effect.gen(function*() {
        const { password, server: owner } = yield* Server.server
        // with as few rights as possible
        const server = Server.as(owner, "tester", password)
        yield* Server.query(owner, `CREATE ROLE tester LOGIN CREATEDB PASSWORD '${password.replaceAll("'", "''")}'`)
        yield* Server.query(owner, "CREATE DATABASE another")
        assert.strictEqual((yield* Effect.flip(PostgresServer.check(server, Home.version))).kind, "forbidden")
        yield* Server.query(owner, "GRANT SET ON PARAMETER session_replication_role TO tester")
        assert.match(yield* PostgresServer.check(server, Home.version), /^\d+/)
        const before = yield* Server.databases(server)
        const home = yield* Home.make
        const provider = yield* Home.provider(home, { database: server })
        assert.deepStrictEqual(yield* Server.databases(server), before)
        const deployment = yield* Home.create(provider)
        const folder = Home.folderOf(home, deployment)
        assert.deepStrictEqual(yield* Server.databases(server), [nameOf(folder), ...before].sort())

        const root = path.join(home, "project")
        fs.mkdirSync(path.join(root, "dags"), { recursive: true })
        fs.copyFileSync(new URL("dirty.py", import.meta.url), path.join(root, "dags", "dirty.py"))
        yield* Home.deliver(
          { home, dags: path.join(root, "dags"), root, variables: {}, allowBroken: false },
          deployment
        )
        const { value } = yield* provider.createToken(deployment.id, "of a test")
        const dirty = yield* Effect.promise(() => {
          Object.assign(process.env, {
            AIRFLOW_URL: deployment.airflowUrl,
            AIRFLOW_AUTHORIZATION: `Bearer ${Redacted.value(value)}`,
            AIRFLOW_DAGS_FOLDER: path.join(folder, "dags"),
            AIRFLOW_VERSION: Home.version
          })
          return import("./dirty.js")
        })
        const rows = yield* rowsOf(server, folder, "snap")
        const { processes } = Home.stateOf(folder)
        for (const change of [Effect.asVoid(dirty.leave), dirty.runOnce]) {
          yield* change
          assert.notDeepEqual(yield* rowsOf(server, folder), rows)
          yield* provider.reset?.(deployment.id) ?? Effect.void
          assert.deepStrictEqual(yield* rowsOf(server, folder), rows)
          // the triggerer starts last
          assert.deepStrictEqual(
            Home.stateOf(folder).processes.slice(0, processes.length),
            processes,
            "it was restarted"
          )
        }

        // hibernation keeps nothing
        yield* dirty.runOnce
        yield* provider.hibernate(deployment.id)
        yield* Home.inStatus(provider, deployment.id, "HIBERNATING")
        yield* holds(
          "nothing is connected to the database",
          Effect.map(
            Server.query(server, `SELECT 1 FROM pg_stat_activity WHERE datname = '${nameOf(folder)}'`),
            (sessions) => sessions.length === 0
          )
        )
        yield* provider.wake(deployment.id)
        yield* Home.awake(provider, deployment.id)
        // Airflow's processes have written that they started
        assert.deepStrictEqual({ ...yield* rowsOf(server, folder), log: rows["log"] ?? [] }, rows)

        // its end is written alike everywhere
        const secret = password.slice(-16)
        assert.deepStrictEqual(filesWith(folder, secret), ["server.json"])
        assert.notInclude(argumentsOfAll(), secret)
        assert.strictEqual(fs.statSync(path.join(folder, "server.json")).mode & 0o777, 0o600)

        yield* provider.delete(deployment.id)
        assert.deepStrictEqual(yield* Server.databases(server), before)
        assert.deepStrictEqual(Home.foldersOf(home), [])
      }),
    30 * 60_000
  )

  it.scopedLive("leaves no database behind when processes are killed half-way", () =>
    Effect.gen(function*() {
      const { server } = yield* Server.server
      const before = yield* Server.databases(server)
      const home = yield* Home.make
      const provider = yield* Home.provider(home, { database: server })
      const { id } = yield* provider.create({ name: "one", description: "", spec: yield* Home.spec })
      const [folder] = Home.foldersOf(home) as [string]
      const exists = Effect.map(Server.databases(server), (all) => all.includes(nameOf(folder)))
      yield* holds("the database is being filled", exists)
      yield* Home.kill(folder, "supervisor")
      const wrong = Server.as(server, server.user, "wrong")
      DeploymentFolder.server.write(folder, wrong)
      // begins again, with the password of today
      yield* provider.wake(id)
      yield* Home.awake(provider, id)

      // as if the process that deletes it were killed
      DeploymentFolder.facts.remove(folder)
      yield* holds("its supervisor has ended", Effect.map(Home.processesOf(folder), (all) => all.length === 0))
      assert.deepStrictEqual(yield* provider.list, [])
      DeploymentFolder.server.write(folder, wrong)
      assert.deepStrictEqual(yield* prune(home), [])
      assert.isTrue(yield* exists)
      DeploymentFolder.server.write(folder, server)
      assert.deepStrictEqual(yield* prune(home), [folder])
      assert.deepStrictEqual(yield* Server.databases(server), before)
      assert.isFalse(fs.existsSync(folder))
    }), 30 * 60_000)
})

describe("a database on PostgreSQL", () => {
  /** One with the tables of an Airflow that matter here. */
  const world = Effect.gen(function*() {
    const { log, server } = yield* Server.server
    const folder = "/nowhere/d0123456789abcdef"
    yield* Server.query(server, `CREATE DATABASE ${nameOf(folder)}`)
    const database = PostgresDatabase.make({
      folder,
      facts: { version: Home.version, username: "user", password: "password" },
      server
    })
    const run = (statements: string) => database.use((sql) => sql.unsafe(statements))
    yield* run(`
      CREATE TABLE alembic_version (version_num TEXT);
      CREATE TABLE dag (dag_id TEXT PRIMARY KEY, is_paused BOOLEAN, last_parsed_time TIMESTAMPTZ, next_dagrun TEXT);
      CREATE TABLE dag_run (id SERIAL PRIMARY KEY, dag_id TEXT, state TEXT);
      CREATE TABLE dag_version (id SERIAL PRIMARY KEY, dag_id TEXT REFERENCES dag ON DELETE CASCADE, conf JSON);
      CREATE TABLE dag_code (id SERIAL PRIMARY KEY, version_id INTEGER REFERENCES dag_version ON DELETE RESTRICT);
      CREATE TABLE task_instance (task_id TEXT, state TEXT);
      CREATE TABLE job (id SERIAL PRIMARY KEY, job_type TEXT, latest_heartbeat TIMESTAMPTZ);
      CREATE TABLE ab_user (id SERIAL PRIMARY KEY, username TEXT, login_count INTEGER);
      CREATE TABLE variable (value BYTEA);
      CREATE TABLE dataset (uri TEXT, updated_at TIMESTAMPTZ);
      INSERT INTO alembic_version VALUES ('5f2621c13b39');
      INSERT INTO dag VALUES ('a', true, '2026-01-01 10:00Z', '1'), ('b', true, '2026-01-01 10:00Z', '1');
      INSERT INTO dag_version (dag_id, conf) VALUES ('a', '{"x": 1}');
      INSERT INTO dag_code (version_id) VALUES (1);
      INSERT INTO job (job_type, latest_heartbeat) VALUES ('SchedulerJob', '2026-01-01 10:00:00.000001Z');
      INSERT INTO ab_user (username, login_count) VALUES ('admin', 0);
      INSERT INTO variable VALUES ('same');
      INSERT INTO dataset VALUES ('x', '2026-01-01 10:00Z')
    `)
    yield* database.take
    const valueOf = (query: string) =>
      Effect.map(
        database.use((sql) => sql.unsafe<{ readonly value: unknown }>(query)),
        (rows) => rows.map(({ value }) => value)
      )
    /** How often the server has refused a lock. */
    const refusals = Effect.sync(() => fs.readFileSync(log, "utf8").split("could not obtain lock").length - 1)
    return { database, run, valueOf, refusals }
  })

  const test = (
    title: string,
    body: (scene: Effect.Effect.Success<typeof world>) => Effect.Effect<void, unknown, Scope.Scope>
  ) => it.scopedLive(title, () => Effect.flatMap(world, body), 5 * 60_000)

  test("is restored row by row, and its next ids are free", ({ database, run, valueOf }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* database.differences, [])
      yield* run(`
        UPDATE dag SET is_paused = false, last_parsed_time = '2026-01-01 11:00Z', next_dagrun = '2' WHERE dag_id = 'a';
        DELETE FROM dag WHERE dag_id = 'b';
        INSERT INTO dag VALUES ('c', false, '2026-01-01 11:00Z', '2');
        UPDATE dag_version SET conf = '{"x":1}';
        INSERT INTO dag_version (dag_id) VALUES ('c');
        INSERT INTO dag_code (version_id) VALUES (2);
        INSERT INTO job (job_type) VALUES ('LocalTaskJob'), ('TriggererJob');
        UPDATE ab_user SET login_count = 7;
        UPDATE dataset SET updated_at = '2026-01-01 11:00Z';
        INSERT INTO variable VALUES ('same');
        CREATE TABLE later (id INTEGER);
        INSERT INTO later VALUES (1)
      `)
      assert.deepStrictEqual(yield* database.differences, ["dag", "dag_code", "dag_version", "later", "variable"])
      yield* database.restore
      assert.deepStrictEqual(yield* database.differences, [])
      assert.deepStrictEqual(
        yield* valueOf(
          "SELECT dag_id || ' ' || is_paused || ' ' || extract(hour FROM last_parsed_time AT TIME ZONE 'UTC') AS value FROM dag ORDER BY 1"
        ),
        ["a true 11", "b true 10"]
      )
      assert.deepStrictEqual(yield* valueOf("SELECT job_type AS value FROM job ORDER BY id"), [
        "SchedulerJob",
        "TriggererJob"
      ])
      assert.deepStrictEqual(yield* valueOf("SELECT conf::text AS value FROM dag_version"), ["{\"x\": 1}"])
      assert.deepStrictEqual(yield* valueOf("INSERT INTO dag_version (dag_id) VALUES ('a') RETURNING id AS value"), [3])
      // foreign keys are checked again
      assert.strictEqual((yield* Effect.flip(run("INSERT INTO dag_code (version_id) VALUES (99)")))._tag, "SqlError")
    }))

  test("is restored once no other connection has a lock on it", ({ database, refusals, run }) =>
    Effect.gen(function*() {
      yield* run("INSERT INTO variable VALUES ('left')")
      const restore = yield* database.use((sql) =>
        Effect.gen(function*() {
          yield* sql`BEGIN`
          yield* sql`UPDATE dag SET is_paused = false`
          const restore = yield* Effect.fork(database.restore)
          yield* holds("it has tried", Effect.map(refusals, (count) => count > 3))
          // it has no lock while it waits, or this would wait for it
          yield* sql`INSERT INTO variable VALUES ('more')`
          assert.isTrue(Option.isNone(yield* Fiber.poll(restore)))
          yield* sql`COMMIT`
          return restore
        })
      )
      yield* Fiber.join(restore)
      assert.deepStrictEqual(yield* database.differences, [])
    }))

  test("is quiet, and tells one turn of the scheduler from the next", ({ database, run, valueOf }) =>
    Effect.gen(function*() {
      yield* run(`
        UPDATE dag SET is_paused = false;
        INSERT INTO dag_run (dag_id, state) VALUES ('a', 'running');
        INSERT INTO task_instance VALUES ('done', 'success'), ('runs', 'running'), ('waits', NULL)
      `)
      yield* database.quiet
      assert.deepStrictEqual(yield* valueOf("SELECT is_paused AS value FROM dag"), [true, true])
      assert.deepStrictEqual(yield* valueOf("SELECT state AS value FROM dag_run"), ["failed"])
      assert.deepStrictEqual(
        yield* valueOf("SELECT state AS value FROM task_instance ORDER BY task_id"),
        ["success", "failed", "failed"]
      )
      const before = yield* database.heartbeat
      assert.strictEqual(yield* database.heartbeat, before)
      yield* run("UPDATE job SET latest_heartbeat = '2026-01-01 10:00:00.000002Z'")
      assert.notStrictEqual(yield* database.heartbeat, before)
    }))

  test("has no runs in its snapshot", ({ database, run, valueOf }) =>
    Effect.gen(function*() {
      yield* run("INSERT INTO dag_run (dag_id, state) VALUES ('a', 'running'); UPDATE dag SET is_paused = false")
      yield* database.take
      assert.deepStrictEqual(yield* database.differences, ["dag", "dag_run"])
      yield* database.restore
      assert.deepStrictEqual(yield* valueOf("SELECT id AS value FROM dag_run"), [])
      assert.deepStrictEqual(yield* valueOf("SELECT is_paused AS value FROM dag"), [true, true])
    }))

  test("keeps the users of its first snapshot, and refuses one of another version", ({ database, run, valueOf }) =>
    Effect.gen(function*() {
      yield* run("INSERT INTO ab_user (username) VALUES ('lease'); INSERT INTO variable VALUES ('new')")
      yield* database.take
      yield* database.take
      assert.deepStrictEqual(yield* database.differences, ["ab_user"])
      yield* run("UPDATE alembic_version SET version_num = 'other'; DELETE FROM variable")
      assert.include((yield* Effect.flip(database.restore)).message, "different versions")
      yield* run("UPDATE alembic_version SET version_num = '5f2621c13b39'")
      yield* database.restore
      assert.deepStrictEqual(yield* valueOf("SELECT username AS value FROM ab_user"), ["admin"])
      assert.deepStrictEqual(yield* valueOf("SELECT count(*)::int AS value FROM variable"), [2])
    }))
})
