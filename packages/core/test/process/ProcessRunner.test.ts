import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Fiber, Option, type Scope } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { inspect } from "node:util"

const canary = "canary-71ab"

/** Runs a small program with the Node of this process. */
const node = (
  source: string,
  options: Partial<ProcessRunner.Command> = {}
): Effect.Effect<ProcessRunner.Ended, ProcessRunner.ProcessError, ProcessRunner.ProcessRunner> =>
  Effect.flatMap(ProcessRunner.ProcessRunner, ({ run }) =>
    run({
      command: process.execPath,
      args: ["-e", source],
      env: {},
      cwd: tmpdir(),
      timeout: "20 seconds",
      ...options
    }))

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "process-runner-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const pidIn = (file: string) =>
  Effect.suspend(() => {
    const text = existsSync(file) ? readFileSync(file, "utf8") : ""
    return text === "" ? Effect.fail("not yet") : Effect.succeed(Number(text))
  }).pipe(Effect.retry({ while: () => Effect.as(Effect.sleep("5 millis"), true) }), Effect.timeout("10 seconds"))

/** Whether a process is still running. A zombie is not. */
const runs = (pid: number) => {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

const gone = (pid: number) =>
  Effect.suspend(() => runs(pid) ? Effect.fail("still there") : Effect.void).pipe(
    Effect.retry({ while: () => Effect.as(Effect.sleep("5 millis"), true) }),
    Effect.timeout("10 seconds")
  )

const writesPid = (file: string) => `require("fs").writeFileSync(${JSON.stringify(file)}, String(process.pid));`
const stubborn = `process.on("SIGTERM", () => {});`
const lasting = `setInterval(() => {}, 1000);`

describe("ProcessRunner", () => {
  const test = (
    title: string,
    body: () => Effect.Effect<void, unknown, ProcessRunner.ProcessRunner | Scope.Scope>
  ) => it.scopedLive(title, () => Effect.provide(body(), ProcessRunner.layer))

  test("returns how a program ended, and its output", () =>
    Effect.gen(function*() {
      const ended = yield* node(`console.log("out ü"); console.error("err"); process.exitCode = 3`)
      assert.deepStrictEqual(ended, { exitCode: 3, signal: null, stdout: "out ü\n", stderr: "err\n", isCut: false })
      const killed = yield* node(`process.kill(process.pid, "SIGKILL")`)
      assert.include(killed, { exitCode: null, signal: "SIGKILL" })
    }))

  test("passes the given environment, folder and input, and nothing else", () =>
    Effect.gen(function*() {
      const cwd = yield* folder
      const report = `console.log(JSON.stringify([process.env, process.cwd(), require("fs").readFileSync(0, "utf8")]))`
      const told = yield* node(report, { env: { A: "1" }, cwd, stdin: `in ${canary}` })
      const [env, where, input] = JSON.parse(told.stdout)
      assert.deepStrictEqual(env, { A: "1" })
      assert.strictEqual(where, cwd)
      assert.strictEqual(input, `in ${canary}`)
      assert.strictEqual(JSON.parse((yield* node(report)).stdout)[2], "", "a question gets no answer, at once")
      assert.strictEqual((yield* node("process.exit(0)", { stdin: "x".repeat(1_000_000) })).exitCode, 0)
    }))

  test("keeps the beginning of long output, and says that it was cut", () =>
    Effect.gen(function*() {
      const much = `process.stdout.write("a".repeat(300_000)); process.stderr.write("b".repeat(300_000))`
      const cut = yield* node(much, { maxOutput: 1000 })
      assert.deepStrictEqual([cut.stdout, cut.stderr, cut.isCut], ["a".repeat(1000), "b".repeat(1000), true])
      const whole = yield* node(much)
      assert.deepStrictEqual([whole.stdout.length, whole.stderr.length, whole.isCut], [300_000, 300_000, false])
    }))

  test("ends a program that never stops writing", () =>
    Effect.gen(function*() {
      const endless = `const more = () => process.stdout.write("x".repeat(65536), more); more()`
      const error = yield* Effect.flip(node(endless, { timeout: "500 millis", maxOutput: 10 }))
      assert.strictEqual(error.kind, "timedOut")
    }))

  test("ends a program that hangs", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const error = yield* Effect.flip(node(writesPid(file) + lasting, { timeout: "2 seconds" }))
      assert.strictEqual(error.kind, "timedOut")
      assert.isTrue(error.retryable)
      assert.include(error.message, "2s")
      yield* gone(yield* pidIn(file))
    }))

  test("ends a program that hangs, even for an uninterruptible caller", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const hangs = node(writesPid(file) + lasting, { timeout: "2 seconds" })
      const error = yield* Effect.flip(Effect.uninterruptible(hangs))
      assert.strictEqual(error.kind, "timedOut")
      yield* gone(yield* pidIn(file))
    }))

  test("sends SIGTERM first", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const polite = `process.on("SIGTERM", () => {
        require("fs").writeFileSync(${JSON.stringify(`${file}.term`)}, "asked"); process.exit(0) });`
      const fiber = yield* Effect.fork(node(polite + writesPid(file) + lasting))
      const pid = yield* pidIn(file)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(readFileSync(`${file}.term`, "utf8"), "asked")
      yield* gone(pid)
    }))

  test("sends SIGKILL to a program that ignores SIGTERM", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const fiber = yield* Effect.fork(node(stubborn + writesPid(file) + lasting, { grace: "200 millis" }))
      const pid = yield* pidIn(file)
      const [took, exit] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isAtLeast(Duration.toMillis(took), 200)
      yield* gone(pid)
    }))

  test("ends the child processes of a program that hangs, and of one that ended", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const child = (file: string, options: string) =>
        `require("child_process").spawn(process.execPath, ["-e", ${
          JSON.stringify(stubborn + writesPid(file) + lasting)
        }], { stdio: "inherit", ${options} });`
      const waits = (file: string) =>
        `setInterval(() => { if (require("fs").existsSync(${JSON.stringify(file)})) process.exit(0) }, 5)`
      const [left, hung] = [join(path, "left"), join(path, "hung")]
      const ended = yield* node(child(left, "") + waits(left))
      assert.strictEqual(ended.exitCode, 0)
      yield* gone(yield* pidIn(left))
      const fiber = yield* Effect.fork(node(child(hung, "") + stubborn + lasting, { grace: "100 millis" }))
      const pid = yield* pidIn(hung)
      yield* Fiber.interrupt(fiber)
      yield* gone(pid)
    }))

  test("does not wait for a process that left the group and kept the pipes open", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const daemon = `require("child_process").spawn(process.execPath, ["-e", ${
        JSON.stringify(writesPid(file) + lasting)
      }], { stdio: "inherit", detached: true }).unref(); console.log("done");
      setInterval(() => { if (require("fs").existsSync(${JSON.stringify(file)})) process.exit(0) }, 5)`
      const ended = yield* node(daemon)
      const pid = yield* pidIn(file)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(pid, "SIGKILL")))
      assert.strictEqual(ended.stdout, "done\n")
    }))

  test("kills running programs when this process exits", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "pid")
      const { run } = yield* ProcessRunner.ProcessRunner
      const fixture = fileURLToPath(new URL("exits.fixture.ts", import.meta.url))
      const ended = yield* run({
        command: process.execPath,
        args: ["--conditions=@airflow-resource/source", "--import=tsx", fixture, file],
        env: {},
        cwd: fileURLToPath(new URL("../../../..", import.meta.url)),
        timeout: "20 seconds"
      })
      assert.deepStrictEqual([ended.exitCode, ended.stderr], [0, ""])
      yield* gone(yield* pidIn(file))
    }))

  test("says why a program did not start, without its arguments", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<
        readonly [Partial<ProcessRunner.Command>, ProcessRunner.ProcessError["kind"], RegExp]
      > = [
        [{ command: "/nowhere/astro", remedy: "Install it." }, "notFound", /run astro: .* Install it\./],
        [{ command: "no-such-program", env: { PATH: "/bin" } }, "notFound", /PATH/],
        [{ command: "/etc/passwd" }, "cannotStart", /permissions/],
        [{ cwd: "/nowhere" }, "cannotStart", /\/nowhere/],
        [{ args: [`${canary}\0`] }, "cannotStart", /ERR_INVALID_ARG_VALUE/],
        [{ env: { A: `${canary}\0` } }, "cannotStart", /refused/]
      ]
      for (const [options, kind, says] of cases) {
        const exit = yield* Effect.exit(node("", { args: [canary], ...options }))
        assert(Exit.isFailure(exit))
        const error = Option.getOrThrow(Cause.failureOption(exit.cause))
        assert.strictEqual(error.kind, kind)
        assert.match(error.message, says)
        assert.isFalse(error.retryable)
        assert.notInclude(inspect(exit, { depth: 10 }) + JSON.stringify(error) + Cause.pretty(exit.cause), canary)
      }
    }))

  it.effect("is replaced by a function in tests", () =>
    Effect.gen(function*() {
      const ended = { exitCode: 0, signal: null, stdout: "fine", stderr: "", isCut: false }
      const layer = ProcessRunner.layerTest(({ args }) =>
        args[0] === "-e" ? Effect.succeed(ended) : Effect.dieMessage("not stubbed")
      )
      assert.deepStrictEqual(yield* Effect.provide(node(""), layer), ended)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.provide(node("", { args: [] }), layer))))
    }))
})
