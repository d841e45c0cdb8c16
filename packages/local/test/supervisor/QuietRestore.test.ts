import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Ref } from "effect"
import { spawn } from "node:child_process"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Processes from "../../src/internal/Processes.js"
import * as QuietRestore from "../../src/internal/supervisor/QuietRestore.js"
import * as Snapshot from "../../src/internal/supervisor/Snapshot.js"
import * as database from "./database.js"

type Respond = (request: string) => readonly [status: number, body: unknown]

/** An Airflow that responds as told, and records what it was sent. */
const serve = (respond: Respond) =>
  Effect.gen(function*() {
    const requests: Array<string> = []
    const server = yield* Effect.acquireRelease(
      Effect.async<http.Server>((resume) => {
        const server = http.createServer((request, response) => {
          let body = ""
          request.on("data", (chunk) => body += chunk)
          request.on("end", () => {
            const line = `${request.method} ${request.url} ${body}`.trim()
            requests.push(`${request.headers.authorization} ${line}`)
            const [status, content] = respond(line)
            response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(content))
          })
        }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    )
    return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  })

const apiOf = (url: string, major: 2 | 3) =>
  QuietRestore.makeApi({ url, major, authorization: Effect.succeed(Redacted.make("Bearer planted")) })

describe("QuietRestore.makeApi", () => {
  it.scopedLive("pauses all DAGs, page by page", () =>
    Effect.gen(function*() {
      const { requests, url } = yield* serve(() => [200, { total_entries: 101 }])
      yield* apiOf(url, 2).pauseAll
      yield* apiOf(url, 3).pauseAll
      const body = JSON.stringify({ is_paused: true })
      const request = (version: number, filter: string, offset: number) =>
        `Bearer planted PATCH /api/v${version}/dags?dag_id_pattern=~&limit=100&${filter}=false&offset=${offset} ${body}`
      assert.deepStrictEqual(requests, [
        request(1, "only_active", 0),
        request(1, "only_active", 100),
        request(2, "exclude_stale", 0),
        request(2, "exclude_stale", 100)
      ])
    }))

  it.scopedLive("fails live runs until there are none, and again while the database is locked", () =>
    Effect.gen(function*() {
      const live = new Set(["one", "two/+", "gone"])
      let isLocked = true
      const { url } = yield* serve((request) => {
        if (isLocked) {
          isLocked = false
          return [503, {}]
        }
        if (request.startsWith("GET /api/v2/dags/~/dagRuns?state=queued&state=running&")) {
          return [200, { dag_runs: Array.from(live, (dag_run_id) => ({ dag_id: "a", dag_run_id })) }]
        }
        const [, id = ""] = /^PATCH \/api\/v2\/dags\/a\/dagRuns\/(\S+) {"state":"failed"}$/.exec(request) ?? []
        if (!live.delete(decodeURIComponent(id))) return [400, {}]
        return id === "gone" ? [404, {}] : [200, {}]
      })
      yield* apiOf(url, 3).failLiveRuns
      assert.strictEqual(live.size, 0)
    }))

  it.scopedLive("says what Airflow refused, without the credentials", () =>
    Effect.gen(function*() {
      const { url } = yield* serve(() => [403, { detail: "Bearer planted" }])
      const error = yield* Effect.flip(apiOf(url, 2).failLiveRuns)
      assert.include(error.message, "Could not list live runs: Airflow responded with 403")
      assert.notInclude(JSON.stringify(error) + error.stack, "planted")
    }))
})

describe("QuietRestore.restore", () => {
  /** A part of Airflow with a task, over a database that a test has changed. */
  const dirty = Effect.gen(function*() {
    const world = yield* database.make
    yield* Snapshot.take(world.database, world.snapshot)
    world.sql.exec("INSERT INTO xcom VALUES ('left')")
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
    const calls = yield* Ref.make<ReadonlyArray<string>>([])
    /** Records a call, and what it found. */
    const call = (name: string) =>
      Effect.flatMap(
        Processes.isSame(task),
        (isRunning) =>
          Ref.update(
            calls,
            (before) => [...before, `${name} ${isRunning} ${database.rows(world.sql, "SELECT * FROM xcom")}`]
          )
      )
    const api = { pauseAll: call("pause"), failLiveRuns: call("fail") }
    return { ...world, home: world.folder, sessions: [task], api, calls, call }
  })

  it.scopedLive("pauses, fails runs, kills tasks and restores, in this order", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      const result = yield* QuietRestore.restore({ ...options, isAlive: Effect.as(options.call("verify"), true) })
      assert.strictEqual(result, "restored")
      assert.deepStrictEqual(yield* Ref.get(options.calls), ["pause true left", "fail true left", "verify false "])
    }))

  it.scopedLive("reports a part that has ended, and rows that appear meanwhile", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      // the tables are restored in the order of their names
      options.sql.exec(
        "CREATE TRIGGER late AFTER DELETE ON xcom BEGIN INSERT INTO variable VALUES (2, 'late', ''); END"
      )
      const result = yield* QuietRestore.restore({ ...options, isAlive: Effect.succeed(false) })
      assert.deepStrictEqual(result, { dirty: ["variable", "a process of Airflow that has ended"] })
    }))

  it.scopedLive("leaves the database as it is if Airflow could not be kept from starting more", () =>
    Effect.gen(function*() {
      const options = yield* dirty
      const api = { ...options.api, failLiveRuns: Effect.fail("refused" as const) }
      const error = yield* Effect.flip(QuietRestore.restore({ ...options, api, isAlive: Effect.succeed(true) }))
      assert.strictEqual(error, "refused")
      assert.deepStrictEqual(database.rows(options.sql, "SELECT * FROM xcom"), ["left"])
    }))
})
