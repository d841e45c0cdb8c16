import { PinnedClock } from "@airflow-resource/airflow"
import { CacheError, DeploymentCache, type Host, Lease, type Slot } from "@airflow-resource/core"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { Error as PlatformError, FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Context, Effect, Fiber, Layer, type Scope, TestClock } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import { fileURLToPath } from "node:url"
import { connect } from "../../src/internal/sqlite/connection.js"
import { transaction } from "../../src/internal/sqlite/transactions.js"
import * as NetworkFileSystem from "../../src/NetworkFileSystem.js"
import { granted, needs, poll, rules, suite, waits } from "./DeploymentCache.suite.js"
import { emptyWal, fillDisk, withConnection } from "./faults.js"

const open = (path: string, host?: Host.Host) =>
  Effect.map(
    Layer.build(SqliteDeploymentCache.layer({ path, host }).pipe(Layer.provide(NodeContext.layer))),
    Context.get(DeploymentCache.DeploymentCache)
  )

const makeFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/ledger-`)),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

suite(
  "DeploymentCache in SQLite",
  Effect.map(makeFolder, (folder) => (host) => open(`${folder}/deep/cluster_cache.db`, host))
)

describe("the SQLite file", () => {
  const test = (title: string, body: (path: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scoped(title, () => Effect.flatMap(makeFolder, (folder) => body(`${folder}/cache.db`)))
  const refusal = (path: string) => Effect.flip(Effect.scoped(open(path)))
  /** Changes the file as another program. */
  const edit = <A>(path: string, f: (db: Database.Database) => A) =>
    Effect.sync(() => {
      const db = new Database(path)
      try {
        return f(db)
      } finally {
        db.close()
      }
    })

  test("keeps the ledger after it was closed", (path) =>
    Effect.gen(function*() {
      const id = yield* Effect.scoped(
        Effect.flatMap(open(path), (cache) => Effect.as(granted(cache, "a"), cache.ledgerId))
      )
      assert.match(id, /^[0-9a-f]{12}$/)
      const cache = yield* open(path)
      assert.strictEqual(cache.ledgerId, id)
      assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 1)
    }))

  test("is accessible to this user alone, as is a folder created for it", (path) =>
    Effect.gen(function*() {
      const deep = path.replace("cache.db", "a/b/cache.db")
      const cache = yield* open(deep)
      yield* granted(cache, "a")
      const mode = (file: string) => (fs.statSync(file).mode & 0o777).toString(8)
      assert.deepStrictEqual([deep, `${deep}-wal`, `${deep}-shm`].map(mode), ["600", "600", "600"])
      assert.deepStrictEqual(["a", "a/b"].map((folder) => mode(path.replace("cache.db", folder))), ["700", "700"])
    }))

  test("is one ledger through every link to it", (path) =>
    Effect.gen(function*() {
      const cache = yield* open(path)
      fs.symlinkSync(path, `${path}.link`)
      fs.symlinkSync(path.replace("/cache.db", ""), `${path}.folder`)
      for (const other of [`${path}.link`, `${path}.folder/cache.db`]) {
        assert.strictEqual((yield* open(other)).ledgerId, cache.ledgerId)
      }
      yield* granted(cache, "a")
      fs.unlinkSync(`${path}.link`)
      fs.symlinkSync(`${path}.other`, `${path}.link`)
      assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 1)
    }))

  test("of another application is refused, untouched", (path) =>
    Effect.gen(function*() {
      yield* edit(path, (db) => db.exec("CREATE TABLE astronomer_deployments (deployment_id TEXT)"))
      const error = yield* refusal(path)
      assert.strictEqual(error.kind, "foreign")
      assert.include(error.message, path)
      assert.include(error.message, "AIRFLOW_RESOURCE_CACHE")
      yield* edit(path, (db) => {
        assert.deepStrictEqual(db.prepare("SELECT name FROM sqlite_master").all(), [{ name: "astronomer_deployments" }])
        assert.strictEqual(db.pragma("journal_mode", { simple: true }), "delete")
      })
      assert.strictEqual((yield* refusal(path.replace("/cache.db", ""))).kind, "foreign")
    }))

  for (const [kind, version] of [["newer", 99], ["older", 1]] as const) {
    test(`of ${kind === "newer" ? "a newer" : "an older"} version is refused, untouched`, (path) =>
      Effect.gen(function*() {
        yield* Effect.scoped(open(path))
        yield* edit(path, (db) => db.pragma(`user_version = ${version}`))
        const error = yield* refusal(path)
        assert.strictEqual(error.kind, kind)
        assert.include(error.message, `version ${version}`)
        assert.strictEqual(yield* edit(path, (db) => db.pragma("user_version", { simple: true })), version)
      }))
  }

  test("that is not a database is refused, untouched", (path) =>
    Effect.gen(function*() {
      const text = "notes of mine ".repeat(100)
      fs.writeFileSync(path, text)
      assert.strictEqual((yield* refusal(path)).kind, "corrupt")
      assert.strictEqual(fs.readFileSync(path, "utf8"), text)
    }))

  test("with an unreadable row fails with a typed error", (path) =>
    Effect.gen(function*() {
      const cache = yield* open(path)
      yield* granted(cache, "a")
      yield* edit(path, (db) => db.exec("UPDATE slots SET row = '{}'"))
      assert.strictEqual((yield* Effect.flip(cache.inspect(rules.poolId)))._tag, "CacheError")
      assert.deepInclude(yield* Effect.flip(cache.sweep(rules)), { kind: "corrupt" })
    }))

  test("in a folder that cannot be created or written to is refused", (path) =>
    Effect.gen(function*() {
      fs.writeFileSync(path, "")
      assert.strictEqual((yield* refusal(`${path}/cache.db`)).kind, "notWritable")
      assert.strictEqual((yield* refusal("/proc/cache.db")).kind, "notWritable")
    }))

  it("is refused on a network file system", () => {
    const known = {
      NFS: 0x6969,
      CIFS: 0xff534d42,
      SMB2: 0xfe534d42,
      "9P": 0x01021997,
      FUSE: 0x65735546,
      Ceph: 0x00c36400,
      Lustre: 0x0bd00bd0
    }
    for (const [name, type] of Object.entries(known)) assert.strictEqual(NetworkFileSystem.nameOf(type), name)
    assert.strictEqual(NetworkFileSystem.nameOf(0xff534d42 | 0), "CIFS", "as a signed number of 32 bits it is negative")
    const local = {
      ext4: 0xef53,
      tmpfs: 0x01021994,
      overlay: 0x794c7630,
      btrfs: 0x9123683e,
      xfs: 0x58465342,
      unknown: 0
    }
    for (const type of Object.values(local)) assert.isUndefined(NetworkFileSystem.nameOf(type))
    const refused = new CacheError.CacheError({ kind: "network", path: "/net/c.db", detail: "/net is on NFS" })
    assert.include(
      refused.message,
      "/net is on NFS. SQLite needs a local disk: set AIRFLOW_RESOURCE_CACHE to a file on one"
    )
  })

  describe("that disappears while it is open: a waiter and a holder notice when it is", () => {
    const noticed = (path: string, cache: DeploymentCache.DeploymentCache["Type"]) =>
      Effect.gen(function*() {
        const attempts: ReadonlyArray<Effect.Effect<unknown, CacheError.CacheError>> = [
          cache.step(rules, "a"),
          cache.beat(rules, 1, 1),
          cache.inspect(rules.poolId)
        ]
        for (const attempt of attempts) {
          const error = yield* Effect.flip(attempt)
          assert.deepInclude(error, { kind: "replaced", path, retryable: false })
        }
      })
    const sides = ["-wal", "-shm"]
    const remove = (path: string) => fs.rmSync(path, { force: true })
    const cases: Record<string, (path: string) => Effect.Effect<void, unknown, Scope.Scope>> = {
      "deleted": (path) => Effect.sync(() => remove(path)),
      "deleted with its -wal and -shm": (path) =>
        Effect.sync(() => ["", ...sides].forEach((side) => remove(path + side))),
      "left without its -wal and -shm": (path) => Effect.sync(() => sides.forEach((side) => remove(path + side))),
      "replaced by another ledger": (path) =>
        Effect.gen(function*() {
          ;["", ...sides].forEach((side) => remove(path + side))
          yield* granted(yield* open(path), "other")
        })
    }
    for (const [name, happens] of Object.entries(cases)) {
      test(name, (path) =>
        Effect.gen(function*() {
          const cache = yield* open(path)
          const slot = yield* granted(cache, "a")
          const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
          const loss = yield* Effect.fork(Effect.flip(lost))
          yield* TestClock.adjust("1 seconds")
          yield* happens(path)
          yield* noticed(path, cache)
          yield* TestClock.adjust(rules.ttl / 4)
          assert.include((yield* Fiber.join(loss)).reason, "moved, deleted or replaced")
        }))
    }

    test("moved away, and can be used again once it is back", (path) =>
      Effect.gen(function*() {
        const cache = yield* open(path)
        const slot = yield* granted(cache, "a")
        fs.renameSync(path, `${path}.away`)
        yield* noticed(path, cache)
        fs.renameSync(`${path}.away`, path)
        assert.isTrue(yield* cache.beat(rules, slot.number, slot.epoch))
      }))
  })

  test("whose write lock another process keeps fails as busy, after some seconds", (path) =>
    Effect.gen(function*() {
      const cache = yield* open(path)
      yield* granted(cache, "a")
      const error = yield* Effect.acquireUseRelease(
        Effect.sync(() => {
          const db = new Database(path)
          db.exec("BEGIN IMMEDIATE")
          return db
        }),
        () =>
          Effect.gen(function*() {
            assert.lengthOf((yield* cache.inspect(rules.poolId)).slots, 1, "inspecting needs no lock")
            const attempt = yield* Effect.fork(Effect.flip(cache.sweep(rules)))
            yield* TestClock.adjust("1 minutes")
            return yield* Fiber.join(attempt)
          }),
        (db) => Effect.sync(() => db.close())
      )
      assert.deepInclude(error, { kind: "busy", retryable: true })
      assert.include(error.message, "Another process keeps its write lock")
      yield* cache.sweep(rules)
    }))

  describe("whose disk fails while it is open", () => {
    /** Every operation fails, and with a typed error. */
    const failures = (cache: DeploymentCache.DeploymentCache["Type"], { epoch, number }: Slot.Slot) => {
      const operations: ReadonlyArray<Effect.Effect<unknown, CacheError.CacheError | Lease.LeaseLost>> = [
        cache.enqueue(rules, { key: "b", leaseId: Lease.LeaseId.make("b"), needs, lock: null, label: "b" }),
        cache.beat(rules, number, epoch),
        cache.update(rules, number, epoch, { activity: "next" }),
        cache.free(rules, number, epoch, { clean: true, usable: true }),
        Effect.scoped(cache.lock("repository", { label: "l", holderId: "l", onWait: () => Effect.void }))
      ]
      return Effect.forEach(operations, Effect.flip)
    }

    test("fails as full, changes nothing, and can be used again once there is space", (path) =>
      Effect.gen(function*() {
        const [cache, db] = yield* withConnection(open(path))
        const slot = yield* granted(cache, "a")
        const before = yield* cache.inspect(rules.poolId)
        const free = fillDisk(db)
        for (const error of yield* failures(cache, slot)) {
          assert.deepInclude(error, { _tag: "CacheError", kind: "full", path, retryable: false })
          assert.include(error.message, "SQLITE_FULL database or disk is full. Free space on this disk")
          assert.isFalse(db.inTransaction)
        }
        assert.deepStrictEqual(yield* cache.inspect(rules.poolId), before, "it can still be read")
        free()
        assert.isTrue(yield* cache.free(rules, slot.number, slot.epoch, { clean: true, usable: true }))
      }))

    test("loses a lease at its deadline, unless a beat can be recorded before", (path) =>
      Effect.gen(function*() {
        const [cache, db] = yield* withConnection(open(path))
        const slot = yield* granted(cache, "a")
        const { lost } = yield* cache.keepAlive(rules, slot.number, slot.epoch)
        const loss = yield* Effect.fork(Effect.flip(lost))
        yield* TestClock.adjust("1 seconds")
        const free = fillDisk(db)
        yield* TestClock.adjust(rules.ttl * 0.7)
        free()
        yield* TestClock.adjust(rules.ttl * 0.7)
        assert.isTrue(yield* cache.beat(rules, slot.number, slot.epoch))
        db.pragma(`max_page_count = ${String(db.pragma("page_count", { simple: true }))}`)
        yield* TestClock.adjust(rules.ttl)
        assert.strictEqual(
          (yield* Fiber.join(loss)).reason,
          "no beat could be recorded before its deadline: SQLITE_FULL database or disk is full"
        )
      }))

    test("fails as corrupt if its -wal was emptied", (path) =>
      Effect.gen(function*() {
        const [cache, db] = yield* withConnection(open(path))
        const slot = yield* granted(cache, "a")
        emptyWal(path)
        for (const error of [...(yield* failures(cache, slot)), yield* Effect.flip(cache.inspect(rules.poolId))]) {
          assert.deepInclude(error, { _tag: "CacheError", kind: "corrupt", path, retryable: false })
          assert.include(error.message, "together with its -wal and -shm")
          assert.isFalse(db.inTransaction)
        }
      }))

    test("fails with a typed error if COMMIT fails, and leaves no transaction open", (path) =>
      Effect.gen(function*() {
        const [sql, db] = yield* withConnection(connect(path, path))
        yield* sql`PRAGMA foreign_keys = ON`
        yield* sql`CREATE TABLE parents (id INTEGER PRIMARY KEY)`
        yield* sql`CREATE TABLE children (id INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`
        const write = transaction(sql, "BEGIN IMMEDIATE")
        assert.strictEqual((yield* Effect.flip(write(sql`INSERT INTO children VALUES (1)`)))._tag, "SqlError")
        assert.isFalse(db.inTransaction)
        yield* write(sql`INSERT INTO parents VALUES (1)`)
        assert.deepStrictEqual(yield* sql`SELECT id FROM children`, [])
      }))

    test("is refused as full if nothing can be created in its folder", (path) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        for (const code of ["ENOSPC", "EDQUOT"]) {
          const full = FileSystem.make({
            ...fs,
            makeTempDirectory: () =>
              new PlatformError.SystemError({
                reason: "Unknown",
                module: "FileSystem",
                method: "makeTempDirectory",
                description: `${code}: no space left`,
                cause: Object.assign(new Error(code), { code })
              })
          })
          const layer = SqliteDeploymentCache.layer({ path }).pipe(
            Layer.provide([Layer.succeed(FileSystem.FileSystem, full), Path.layer])
          )
          const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
          assert.strictEqual(error.kind, "full")
          assert.include(error.message, `${code}: no space left`)
        }
      }).pipe(Effect.provide(NodeContext.layer)))
  })

  test("lets two connections change the ledger only one after the other", (path) =>
    Effect.gen(function*() {
      // a transaction that finds the lock taken waits, in real time
      const caches = [yield* PinnedClock.live(open(path)), yield* PinnedClock.live(open(path))]
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, index) => index),
        (index) => poll(caches[index % 2]!, `t${index}`),
        { concurrency: "unbounded", discard: true }
      ).pipe(Effect.withMaxOpsBeforeYield(20))
      const { tickets } = yield* caches[0]!.inspect(rules.poolId)
      assert.deepStrictEqual(tickets.map(({ seq }) => seq), Array.from({ length: 40 }, (_, index) => index + 1))
    }))

  test("is created once, even if many processes open it at once", (path) =>
    Effect.gen(function*() {
      const start = Effect.acquireRelease(
        Effect.sync(() =>
          spawn(
            process.execPath,
            [
              "--conditions=@airflow-resource/source",
              "--import=tsx",
              fileURLToPath(new URL("opener.ts", import.meta.url)),
              path
            ],
            { stdio: ["pipe", "pipe", "inherit"] }
          )
        ),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const children = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => start)
      const line = (child: (typeof children)[number]) =>
        Effect.async<string>((resume) =>
          void child.stdout.once("data", (data) => resume(Effect.succeed(String(data).trim())))
        )
      assert.deepStrictEqual(
        new Set(yield* Effect.forEach(children, line, { concurrency: "unbounded" })),
        new Set(["ready"])
      )
      const ids = yield* Effect.forEach(
        children,
        (child) => Effect.zipLeft(line(child), Effect.sync(() => child.stdin.write("go\n")), { concurrent: true }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(new Set(ids).size, 1)
      assert.strictEqual(ids[0], (yield* open(path)).ledgerId)
    }))

  test("shows the deployments in sqlite3, with the column names of the Python fixture", (path) =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 days")
      const cache = yield* open(path)
      const [a, b] = [yield* granted(cache, "a"), yield* granted(cache, "b")]
      yield* cache.update(rules, a.number, a.epoch, {
        name: "d1",
        deploymentId: "id1" as never,
        spec: a.spec,
        power: "awake"
      })
      yield* cache.update(rules, b.number, b.epoch, {
        name: "d2",
        deploymentId: "id2" as never,
        spec: a.spec,
        power: "asleep"
      })
      yield* TestClock.adjust("1500 millis")
      yield* cache.free(rules, b.number, b.epoch, { clean: false, usable: true })
      const rows = yield* edit(path, (db) => db.prepare("SELECT * FROM deployments").all())
      assert.deepStrictEqual(rows, [
        {
          pool: "p1",
          slot: 1,
          deployment_id: "id1",
          deployment_name: "d1",
          status: "HEALTHY",
          worker_pid: process.pid,
          test_name: "test a",
          in_use: 1,
          created_at: "1970-01-02T00:00:00.000Z",
          last_accessed: "1970-01-02T00:00:00.000Z"
        },
        {
          pool: "p1",
          slot: 2,
          deployment_id: "id2",
          deployment_name: "d2",
          status: "HIBERNATING",
          worker_pid: null,
          test_name: null,
          in_use: 0,
          created_at: "1970-01-02T00:00:00.000Z",
          last_accessed: "1970-01-02T00:00:01.500Z"
        }
      ])
    }))

  test("deletes old tickets and events when it is opened, and none that still matter", (path) =>
    Effect.gen(function*() {
      const visit = <A, E>(body: (cache: DeploymentCache.DeploymentCache["Type"]) => Effect.Effect<A, E>) =>
        Effect.scoped(Effect.flatMap(open(path), body))
      const count = (table: string) =>
        edit(path, (db) => db.prepare(`SELECT count(*) AS n FROM ${table}`).pluck().get() as number)
      yield* visit((cache) =>
        Effect.flatMap(granted(cache, "a"), (a) => cache.free(rules, a.number, a.epoch, { clean: false, usable: true }))
      )
      yield* TestClock.adjust("6.9 days")
      yield* visit((cache) => Effect.map(poll(cache, "a"), ({ _tag }) => assert.strictEqual(_tag, "Ended")))
      yield* TestClock.adjust("3 hours")
      yield* visit(() => Effect.void)
      assert.deepStrictEqual([yield* count("tickets"), yield* count("events")], [0, 3])
      yield* visit((cache) => granted(cache, "b"))
      yield* TestClock.adjust("24 days")
      yield* visit(() => Effect.void)
      assert.deepStrictEqual(
        [yield* count("tickets"), yield* count("events")],
        [1, 2],
        "a ticket that has not ended stays"
      )
    }))

  test("scans no table, however long its history", (path) =>
    Effect.gen(function*() {
      const cache = yield* open(path)
      yield* granted(cache, "a")
      const plans = yield* edit(path, (db) =>
        [
          "SELECT max(seq) FROM tickets WHERE pool = 'p1'",
          `SELECT seq, row FROM tickets INDEXED BY tickets_live WHERE pool = 'p1' AND state <> 'ended'
            UNION SELECT seq, row FROM tickets WHERE pool = 'p1' AND key = 'a' ORDER BY seq`,
          "SELECT * FROM events WHERE pool = 'p1' AND lease_id = 'l' ORDER BY seq",
          "DELETE FROM events WHERE at < 1",
          "DELETE FROM tickets WHERE state = 'ended' AND seen < 1"
        ].flatMap((text) =>
          db.prepare(`EXPLAIN QUERY PLAN ${text}`).all().map((row) => (row as { detail: string }).detail)
        ))
      assert.deepStrictEqual(plans.filter((detail) => detail.startsWith("SCAN")), [])
      yield* waits(cache, "b", { rules: { ...rules, max: 1 } })
    }))
})
