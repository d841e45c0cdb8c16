import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import { Cause, Effect, FiberId, Schedule } from "effect"
import { once } from "node:events"
import * as fs from "node:fs"
import * as Failure from "../src/internal/command/failure.js"
import { start } from "./child.js"
import { world } from "./world.js"

const asJson = (text: string) => JSON.parse(text)

describe.concurrent("airflow-resource status", () => {
  it.scopedLive("shows the holders and the queue, as text and as JSON", () =>
    Effect.gen(function*() {
      const { hold, inspect, path, run } = yield* world({ tokenRights: "operator" })
      const empty = yield* run("status")
      assert.deepInclude(empty, { code: 0, stderr: "" })
      assert.match(
        empty.stdout,
        new RegExp(
          `^cache   ${path}\npool    [0-9a-f]{12}, 0 of at most 1 deployments\nupkeep  not active\nreaper  off \\(AIRFLOW_RESOURCE_REAPER\\): .*\n$`
        )
      )

      const one = yield* hold("one\n\u001b[2J")
      const name = yield* one.deploymentName
      const two = yield* hold("two")
      yield* Effect.repeat(inspect, {
        until: ({ tickets }) => tickets.some(({ state }) => state === "waiting"),
        schedule: Schedule.spaced("20 millis")
      })

      const shown = yield* run("status")
      assert.strictEqual(shown.code, 0)
      assert.match(
        shown.stdout,
        new RegExp(
          `1     ${name}  13.1.0 on aws us-east-1  awake  leased to one \\[2J for .*process ${process.pid} on .*; UNFENCED`
        )
      )
      assert.match(
        shown.stdout,
        /1      two \(process \d+ on .*\) +[\dms ]+ +all 1 deployments are leased: slot 1 to one/
      )

      const status = asJson((yield* run("status", "--json")).stdout)
      assert.deepInclude(status, { cache: path, max: 1, upkeep: null })
      assert.lengthOf(status.slots, 1)
      assert.deepInclude(status.slots[0], {
        slot: 1,
        deployment: name,
        power: "awake",
        quarantine: null,
        busyUntil: null
      })
      assert.deepInclude(status.slots[0].holder, { kind: "lease", fenced: false, isAlive: true, pid: process.pid })
      assert.deepInclude(status.queue[0], { place: 1, label: "two" })

      yield* one.end
      yield* two.end
      const [slot] = asJson((yield* run("status", "--json")).stdout).slots
      assert.deepInclude(slot, { power: "asleep", holder: null })
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)

  it.scopedLive("names every missing variable, but none of GitHub's", () =>
    Effect.gen(function*() {
      const { cwd } = yield* world()
      const { code, stderr, stdout } = yield* (yield* start("../src/main.ts", ["status"], {}, cwd)).ended
      assert.deepEqual([code, stdout], [1, ""])
      for (const name of ["ASTRO_ACCESS_TOKEN", "ASTRO_WORKSPACE_ID", "ASTRO_REGION"]) assert.include(stderr, name)
      assert.notMatch(stderr, /GITHUB|AIRFLOW_REPO|^\s+at /m)
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)

  it.scopedLive(
    "refuses the private pool of an emulator, and explains wrong usage",
    () =>
      Effect.gen(function*() {
        const { cwd, run } = yield* world()
        const emulated = { AIRFLOW_RESOURCE_PROVIDER: "emulator" }
        const refused = yield* (yield* start("../src/main.ts", ["reap"], emulated, cwd)).ended
        assert.strictEqual(refused.code, 1)
        assert.include(refused.stderr, "exists only inside the process")
        for (const args of [["rest"], ["drain", "--timeout", "soon"]]) {
          const { code, stdout } = yield* run(...args)
          assert.deepEqual([code, stdout], [2, ""], args.join(" "))
        }
        assert.include((yield* run("--help")).stdout, "drain")
      }).pipe(Effect.provide(NodeContext.layer)),
    300_000
  )
})

describe.concurrent("airflow-resource report", () => {
  it.scopedLive("prints what leases took, and writes it as a page", () =>
    Effect.gen(function*() {
      const { cwd, hold, run } = yield* world()
      assert.deepInclude(yield* run("report"), { code: 0, stdout: "No Airflow was leased.\n" })

      const one = yield* hold("one <b>")
      const name = yield* one.deploymentName
      yield* one.end
      const text = yield* run("report", "--html", "new folder/report.html")
      assert.deepEqual([text.code, text.stderr], [0, `The page is ${cwd}/new folder/report.html\n`])
      assert.match(text.stdout, new RegExp(`^released  created  .*  ${name}  one <b>$`, "m"))
      const page = fs.readFileSync(`${cwd}/new folder/report.html`, "utf8")
      assert.include(page, "one &#60;b&#62;")

      const { leases, totals } = asJson((yield* run("report", "--json")).stdout)
      assert.lengthOf(leases, 1)
      assert.deepInclude(leases[0], { test: "one <b>", deployment: name, slot: 1, outcome: "released", passed: null })
      assert.deepInclude(totals, { leases: 1, created: 1, saved: null })

      fs.writeFileSync(`${cwd}/file`, "")
      const refused = yield* run("report", "--html", "file/report.html", "--json")
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, /^file\/report\.html could not be written: .*Choose another path with --html\.\n$/)
      assert.strictEqual(asJson(refused.stdout).error.tag, "PageNotWritten")
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)
})

describe.concurrent("airflow-resource reap", () => {
  it.scopedLive("hibernates what a killed process left awake", () =>
    Effect.gen(function*() {
      const { cwd, emulator, env, run } = yield* world()
      const { child, prints } = yield* start("stuck.ts", [], env, cwd)
      const name = yield* prints("stdout", "\n")
      const alive = yield* run("reap", "--json")
      assert.strictEqual(alive.code, 0)
      assert.deepInclude(asJson(alive.stdout), { actions: [], awake: [] })
      child.kill("SIGKILL")
      yield* Effect.promise(() => once(child, "close"))
      const slots = asJson((yield* run("status", "--json")).stdout).slots
      assert.isFalse(slots[0].holder.isAlive)
      assert.deepInclude(yield* run("reap"), { code: 0, stdout: `slot 1: ${name} hibernated\n` })
      const { awake, tokens } = yield* emulator.audit
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)
})

describe.concurrent("airflow-resource drain", () => {
  it.scopedLive("names the holders that it waits for, and those left at its timeout", () =>
    Effect.gen(function*() {
      const { begin, emulator, hold, run } = yield* world()
      const holding = yield* hold("holds")
      yield* holding.deploymentName
      const late = yield* run("drain", "--timeout", "10 seconds")
      assert.strictEqual(late.code, 3)
      assert.match(late.stderr, /waiting for slot 1: holds/)
      assert.match(late.stderr, /still held: slot 1: holds/)

      const interrupted = yield* begin("drain")
      yield* interrupted.prints("stderr", "waiting for slot 1")
      interrupted.child.kill("SIGINT")
      assert.strictEqual((yield* interrupted.ended).code, 130)

      const drained = yield* begin("drain", "--json")
      yield* drained.prints("stderr", "waiting for slot 1")
      yield* holding.end
      const { code, stdout } = yield* drained.ended
      assert.strictEqual(code, 0)
      assert.deepInclude(asJson(stdout), { held: [], awake: [] })
      const { awake, tokens } = yield* emulator.audit
      assert.deepStrictEqual({ awake, tokens }, { awake: [], tokens: [] })
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)
})

describe.concurrent("airflow-resource cache reset", () => {
  const files = (path: string) => ["", "-wal", "-shm"].filter((end) => fs.existsSync(`${path}${end}`))

  it.scopedLive("refuses while a process holds a deployment or has the file open", () =>
    Effect.gen(function*() {
      const { hold, path, run } = yield* world()
      const holding = yield* hold("holds")
      const name = yield* holding.deploymentName
      const refused = yield* run("cache", "reset")
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, `slot 1: holds (process ${process.pid} on `)
      yield* holding.end
      // this process still has it open
      const open = yield* run("cache", "reset")
      assert.strictEqual(open.code, 1)
      assert.include(open.stderr, "another process has it open")
      assert.include((yield* run("status")).stdout, name)
      assert.include(files(path), "")
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)

  it.scopedLive(
    "deletes a ledger whose holder was killed, and the next one finds the deployment again",
    () =>
      Effect.gen(function*() {
        const { cwd, emulator, env, path, run } = yield* world()
        assert.deepInclude(asJson((yield* run("cache", "reset", "--json")).stdout), { cache: path, removed: false })
        const { child, prints } = yield* start("stuck.ts", [], env, cwd)
        const name = yield* prints("stdout", "\n")
        child.kill("SIGKILL")
        yield* Effect.promise(() => once(child, "close"))
        assert.include(files(path), "-wal")
        const removed = yield* run("cache", "reset")
        assert.deepInclude(removed, { code: 0, stderr: "" })
        assert.include(removed.stdout, `Deleted ${path}`)
        assert.deepEqual(files(path), [])
        yield* run("reap")
        assert.deepEqual(
          asJson((yield* run("status", "--json")).stdout).slots.map(({ deployment }: { deployment: string }) =>
            deployment
          ),
          [name]
        )
        assert.lengthOf((yield* emulator.audit).deployments, 1)
      }).pipe(Effect.provide(NodeContext.layer)),
    300_000
  )

  it.scopedLive("deletes a file of an older schema, and no file that is not a ledger", () =>
    Effect.gen(function*() {
      const { path, run } = yield* world()
      fs.mkdirSync(path.replace(/\/[^/]+$/, ""), { recursive: true })
      const make = (applicationId: number, statements: string) => {
        const db = new Database(path)
        db.exec(
          `PRAGMA journal_mode = WAL; PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1; ${statements}`
        )
        db.close()
      }
      const owner = { host: "elsewhere", bootId: "b", pid: 7, startedAt: "1" }
      const row = (deadline: number) =>
        JSON.stringify({ number: 2, holder: { kind: "lease", label: "old", owner, deadline } })
      const older = (deadline: number) =>
        make(
          0x41524c31,
          `CREATE TABLE slots (pool TEXT, number INTEGER, epoch INTEGER, deadline INTEGER, max_until INTEGER, row TEXT);
          INSERT INTO slots VALUES ('p', 2, 1, ${deadline}, ${deadline}, '${row(deadline)}')`
        )
      older(9_999_999_999_999)
      const held = yield* run("cache", "reset")
      assert.strictEqual(held.code, 1)
      assert.include(held.stderr, "slot 2: old (process 7 on elsewhere)")
      assert.include((yield* run("status")).stderr, "airflow-resource cache reset")
      fs.rmSync(path)
      older(1)
      assert.strictEqual((yield* run("cache", "reset")).code, 0)
      assert.deepEqual(files(path), [])

      make(0, "CREATE TABLE deployments (id TEXT)")
      const before = fs.readFileSync(path)
      const foreign = yield* run("cache", "reset")
      assert.strictEqual(foreign.code, 1)
      assert.include(foreign.stderr, "an SQLite file of another program")
      assert.isTrue(before.equals(fs.readFileSync(path)))
      fs.writeFileSync(path, "not a database, but long enough to be looked at ".repeat(20))
      const text = yield* run("cache", "reset")
      assert.strictEqual(text.code, 1)
      assert.include(text.stderr, "It was left as it is")
      assert.deepEqual(files(path), [""])
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)
})

describe.concurrent("airflow-resource with a ledger that cannot be used", () => {
  /** How the ledger's file or its folder is broken, what the error says then, and the program that runs the command. */
  const kinds: Record<string, readonly [breakIt: (path: string) => void, says: string, program?: string]> = {
    "corrupt": [(path) => fs.writeFileSync(path, "not a database ".repeat(100)), "SQLITE_NOTADB"],
    "foreign": [(path) => {
      const db = new Database(path)
      db.exec("CREATE TABLE deployments (id TEXT)")
      db.close()
    }, "an SQLite file of another program"],
    "not writable": [(path) => {
      fs.rmdirSync(folderOf(path))
      fs.writeFileSync(folderOf(path), "")
    }, "Make the folder and the file writable"],
    "full": [() => undefined, "SQLITE_FULL", "fullDisk.ts"]
  }
  const folderOf = (path: string) => path.replace(/\/[^/]+$/, "")

  for (const [kind, [breakIt, says, program = "../src/main.ts"]] of Object.entries(kinds)) {
    it.scopedLive(`says so, in a document with --json: ${kind}`, () =>
      Effect.gen(function*() {
        const { cwd, env, path } = yield* world()
        fs.mkdirSync(folderOf(path), { recursive: true })
        breakIt(path)
        const run = (...args: ReadonlyArray<string>) =>
          Effect.flatMap(start(program, args, env, cwd), ({ ended }) => ended)
        // resetting needs no space
        const commands = [["status"], ["reap"], ["drain"], ...(kind === "full" ? [] : [["cache", "reset"]])]
        for (const command of commands) {
          const { code, stderr, stdout } = yield* run(...command, "--json")
          assert.strictEqual(code, 1, command.join(" "))
          const { error } = asJson(stdout)
          assert.deepInclude(error, { tag: "CacheError", retryable: false })
          assert.include(error.message, `The cache ${path} cannot be used`)
          assert.include(error.message, says)
          assert.include(stderr, error.message)
        }
        const text = yield* run("status")
        assert.deepEqual([text.code, text.stdout], [1, ""])
        assert.match(text.stderr, /^The cache .+\n$/)
        assert.include(text.stderr, says)
        const { code, stdout } = yield* run("doctor", "--json")
        const { checks, ready } = asJson(stdout)
        const cache = checks.find(({ check }: { check: string }) => check === "cache")
        // doctor writes nothing
        assert.deepEqual([code, ready, cache.state], kind === "full" ? [0, true, "pass"] : [1, false, "fail"])
      }).pipe(Effect.provide(NodeContext.layer)), 900_000)
  }
})

describe.concurrent("airflow-resource, when it fails", () => {
  it.scopedLive("prints a defect in one line, and as a document with --json", () =>
    Effect.gen(function*() {
      const { cwd, env } = yield* world()
      const run = (...args: ReadonlyArray<string>) =>
        Effect.flatMap(start("defect.ts", args, env, cwd), ({ ended }) => ended)
      const line =
        /^Unexpected failure: TypeError: no name at .+\. This is a bug in airflow-resource \d+\.\d+\.\d+; please report it with this line\.$/
      for (const command of ["status", "reap", "drain"]) {
        const { code, stderr, stdout } = yield* run(command, "--json")
        assert.strictEqual(code, 1)
        const { error } = asJson(stdout)
        assert.match(error.message, line)
        assert.deepInclude(error, { tag: "Defect", retryable: false })
        assert.strictEqual(stderr.trim().split("\n").at(-1), error.message)
      }
      const text = yield* run("status")
      assert.deepEqual([text.code, text.stdout], [1, ""])
      assert.match(text.stderr.trim(), line)
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)

  it.scopedLive("prints a document if it is interrupted, and none for wrong usage", () =>
    Effect.gen(function*() {
      const { begin, hold, run } = yield* world()
      const holding = yield* hold("holds")
      yield* holding.deploymentName
      const draining = yield* begin("drain", "--json")
      yield* draining.prints("stderr", "waiting for slot 1")
      draining.child.kill("SIGINT")
      const { code, stderr, stdout } = yield* draining.ended
      assert.strictEqual(code, 130)
      assert.deepInclude(asJson(stdout).error, { tag: "Interrupted", retryable: true })
      assert.notInclude(stderr, "interrupted")

      const late = yield* run("drain", "--json", "--timeout", "1 second")
      assert.strictEqual(late.code, 3)
      assert.lengthOf(asJson(late.stdout).held, 1)
      assert.deepInclude(yield* run("status", "--json", "--nonsense"), { code: 2, stdout: "" })
      yield* holding.end
    }).pipe(Effect.provide(NodeContext.layer)), 300_000)

  it("takes an interruption without a signal for a bug", () => {
    const cause = Cause.interrupt(FiberId.none)
    assert.strictEqual(Failure.exitCode(cause), 1)
    assert.match(
      Failure.lines(cause).join("\n"),
      /^Unexpected failure: it was interrupted without a signal. This is a bug/
    )
  })

  it("prints all that has failed, and names the first in its document", () => {
    const cause = Cause.sequential(Cause.fail(new Error("typed")), Cause.die("a defect"))
    assert.strictEqual(Failure.exitCode(cause), 1)
    assert.lengthOf(Failure.lines(cause), 2)
    assert.deepStrictEqual(asJson(Failure.document(cause) ?? ""), {
      error: { tag: "Error", message: "typed", retryable: false }
    })
  })
})
