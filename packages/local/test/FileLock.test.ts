import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import { fileURLToPath, pathToFileURL } from "node:url"
import { acquire, tryAcquire } from "../src/internal/FileLock.js"

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href

const makeFolder = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(`${os.tmpdir()}/lock-`)),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

/** Another process that takes the lock; `says` waits until it prints a line. */
const holder = (file: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(process.execPath, [
        "--conditions=@airflow-resource/source",
        `--import=${tsx}`,
        fileURLToPath(new URL("lockHolder.fixture.ts", import.meta.url)),
        file
      ], { stdio: ["pipe", "pipe", "inherit"] })
      return { child, says: says(child) }
    }),
    ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
  )

const says = (child: ChildProcess) => {
  let text = ""
  child.stdout?.on("data", (chunk) => text += chunk)
  return (line: string) =>
    Effect.suspend(() => text.includes(line) ? Effect.void : Effect.fail(`no ${line}`)).pipe(
      Effect.retry({ while: () => Effect.as(Effect.sleep("10 millis"), true) }),
      Effect.timeout("1 minute")
    )
}

describe("FileLock", () => {
  const test = (title: string, body: (file: string) => Effect.Effect<void, unknown, Scope.Scope>) =>
    it.scopedLive(title, () => Effect.flatMap(makeFolder, (folder) => body(`${folder}/lock`)))

  test("has one holder in this process at a time", (file) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        assert.isTrue(yield* tryAcquire(file))
        assert.isFalse(yield* Effect.scoped(tryAcquire(file)))
      }))
      assert.isTrue(yield* Effect.scoped(tryAcquire(file)), "the scope has closed")
      assert.strictEqual(fs.statSync(file).size, 0)
    }))

  test("goes from a killed process to one that waits", (file) =>
    Effect.gen(function*() {
      const first = yield* holder(file)
      yield* first.says("locked")
      assert.isFalse(yield* tryAcquire(file))
      const second = yield* holder(file)
      yield* second.says("started")

      first.child.kill("SIGKILL")
      yield* second.says("locked")
      assert.isFalse(yield* tryAcquire(file))

      second.child.stdin?.end()
      yield* Effect.timeout(acquire(file), "1 minute")
    }))

  test("can be waited for in vain", (file) =>
    Effect.gen(function*() {
      yield* acquire(file)
      const waiting = yield* Effect.fork(Effect.scoped(acquire(file)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      assert.isFalse(yield* Effect.scoped(tryAcquire(file)), "the waiting has not freed it")
    }))

  test("has one holder at a time among many fibers", (file) =>
    Effect.gen(function*() {
      let holders = 0
      let most = 0
      const use = Effect.scoped(Effect.gen(function*() {
        yield* acquire(file)
        most = Math.max(most, ++holders)
        yield* Effect.yieldNow()
        holders--
      }))
      yield* Effect.all([use, use, use, use], { concurrency: "unbounded" })
      assert.strictEqual(most, 1)
    }))

  test("fails for a file that cannot be created, or that is something else", (file) =>
    Effect.gen(function*() {
      fs.mkdirSync(file)
      assert.deepInclude(yield* Effect.flip(tryAcquire(file)), { kind: "notWritable", operation: `lock ${file}` })
      assert.include((yield* Effect.flip(acquire(`${file}/missing/lock`))).message, "does not exist")
      fs.writeFileSync(`${file}/text`, "no database ".repeat(100))
      assert.strictEqual((yield* Effect.flip(acquire(`${file}/text`))).kind, "io")
    }))
})
