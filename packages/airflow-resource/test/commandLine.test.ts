import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schedule } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { vi } from "vitest"
import * as CommandLine from "../src/internal/command/command.js"
import * as Failure from "../src/internal/command/failure.js"
import { start } from "./child.js"

/** What the command prints and ends with. Only for command lines that do no work. */
const run = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const printed = { stdout: "", stderr: "" }
    const spies = (["stdout", "stderr"] as const).map((name) =>
      vi.spyOn(process[name], "write").mockImplementation((text, done?: unknown) => {
        printed[name] += text
        if (typeof done === "function") done()
        return true
      })
    )
    const { command, exitCodes } = CommandLine.parse(args)
    const exit = yield* Effect.exit(command)
    for (const spy of spies) spy.mockRestore()
    const code = Exit.match(exit, { onSuccess: () => 0, onFailure: (cause) => Failure.exitCode(cause, exitCodes) })
    return { code, ...printed }
  }).pipe(Effect.provide(NodeContext.layer))

const subcommandsOf = (help: string) =>
  Array.from(
    (/^Commands:\n((?: {2}.*\n)+)/m.exec(help)?.[1] ?? "").matchAll(/^ {2}(\w+)/gm),
    ([, name = ""]) => name
  ).filter((name) => name !== "help")

describe("the command line", () => {
  it.effect("explains every subcommand within 80 columns, with examples and exit codes, and without colours", () =>
    Effect.gen(function*() {
      const visit = (path: ReadonlyArray<string>): Effect.Effect<number> =>
        Effect.gen(function*() {
          const { code, stderr, stdout } = yield* run(...path, "--help")
          const name = ["airflow-resource", ...path].join(" ")
          assert.deepEqual([code, stderr], [0, ""], name)
          assert.include(stdout, `Usage: ${name} `)
          for (const line of stdout.split("\n")) assert.isAtMost(line.length, 80, `${name}: ${line}`)
          // oxlint-disable-next-line no-control-regex
          assert.notMatch(stdout, /\u001b|\{"_/)
          const below = subcommandsOf(stdout)
          if (below.length === 0) assert.match(stdout, /^Examples:$[\s\S]*^Exit codes:$/m, name)
          return 1 +
            (yield* Effect.reduce(below, 0, (sum, one) => Effect.map(visit([...path, one]), (more) => sum + more)))
        })
      assert.isAtLeast(yield* visit([]), 18)
      const all = yield* run()
      assert.deepEqual([all.code, all.stdout], [0, (yield* run("--help")).stdout])
      assert.deepEqual(yield* run("help", "local"), yield* run("local", "--help"))
      assert.match((yield* run("-v")).stdout, /^\d+\.\d+\.\d+\n$/)
    }))

  it.effect("says what is wrong, and what was meant", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["stauts"], /unknown command 'stauts'\n\(Did you mean status\?\)/],
        [
          ["drain", "--timeot", "5s"],
          /unknown option '--timeot'\n\(Did you mean --timeout\?\)\n\(airflow-resource drain --help/
        ],
        [["drain", "--timeout"], /option '--timeout <duration>' argument missing/],
        [["drain", "--timeout", "soon"], /argument 'soon' is invalid. It must be a duration of 7 days at most/],
        [["drain", "--timeout", "8 days"], /argument '8 days' is invalid/],
        [["emulator", "--port", "abc"], /option '--port <number>' argument 'abc' is invalid. It must be a port/],
        [["emulator", "--seed", "1.5"], /It must be an integer/],
        [["status", "-o", "yaml"], /Allowed choices are text, json/],
        [["status", "now"], /too many arguments/],
        [["exec"], /missing required argument 'program'/],
        [["run"], /missing required argument 'dag-id'/],
        [["local", "opne"], /Did you mean open\?/],
        [["help", "bogus"], /there is no command 'bogus' to explain/],
        [["help", "local", "bogus"], /there is no command 'bogus' to explain/],
        [["run", " "], /It must not be blank/],
        [["exec", "--name", "", "true"], /It must not be blank/],
        [["run", "a", "--timeout", "0"], /It must be longer than 0/],
        [["warm", "0x1"], /whole number above 0/],
        [["completion", "powershell"], /Allowed choices are bash, zsh, fish/]
      ]
      for (const [args, says] of wrong) {
        const { code, stderr, stdout } = yield* run(...args)
        assert.deepEqual([code, stdout], [2, ""], args.join(" "))
        assert.match(stderr, says)
      }
    }))

  it.effect("completes subcommands and options in bash", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("completion", "bash")
      const completed = (...words: ReadonlyArray<string>) =>
        execFileSync("bash", [
          "-c",
          `${stdout}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _airflow_resource; echo "\${COMPREPLY[*]}"`,
          "bash",
          "airflow-resource",
          ...words
        ]).toString().trim()
      assert.strictEqual(completed("dra"), "drain")
      assert.strictEqual(completed("local", "o"), "open")
      assert.strictEqual(completed("drain", "--t"), "--timeout")
      assert.strictEqual(completed("run", "a_dag", "--timeout", "5s", "--co"), "--conf")
      assert.strictEqual(
        completed("exec", "--", "/etc/host"),
        execFileSync("bash", ["-c", "compgen -f /etc/host"]).toString().trim().replaceAll("\n", " ")
      )
    }))

  it.skipIf(!fs.existsSync("/dev/full")).each(["--help", "cache reset --json"])(
    "fails if its result cannot be written: %s",
    (line) => {
      const full = fs.openSync("/dev/full", "w")
      const { status, stderr } = spawnSync(process.execPath, [
        "--conditions=@airflow-resource/source",
        "--import=tsx",
        fileURLToPath(new URL("../src/main.ts", import.meta.url)),
        ...line.split(" ")
      ], {
        stdio: ["ignore", full, "pipe"],
        env: {
          PATH: process.env["PATH"],
          AIRFLOW_RESOURCE_CACHE: "/nowhere/cache.db",
          AIRFLOW_RESOURCE_PROVIDER: "api"
        }
      })
      fs.closeSync(full)
      assert.strictEqual(status, 1)
      assert.match(stderr.toString(), /^The result could not be written to stdout: .*no space left/)
    },
    120_000
  )

  it.scopedLive(
    "ends an emulator with the process that started it, unless it is detached",
    () =>
      Effect.gen(function*() {
        const starter = (...args: ReadonlyArray<string>) =>
          Effect.gen(function*() {
            const { child, prints } = yield* start("emulatorStarter.ts", args, {}, process.cwd())
            const { pid, url } = JSON.parse(yield* prints("stdout", "\n"))
            child.kill("SIGKILL")
            return { pid: pid as number, url: url as string }
          })
        const isThere = ({ url }: { readonly url: string }) =>
          Effect.promise(() => fetch(url).then(() => true, () => false))
        const tied = yield* starter()
        yield* Effect.repeat(isThere(tied), { until: (there) => !there }).pipe(Effect.timeout("1 minute"))
        const detached = yield* starter("--detach")
        yield* Effect.addFinalizer(() => Effect.sync(() => process.kill(detached.pid, "SIGTERM")))
        // longer than the other one took
        const stays = Effect.map(isThere(detached), (there) => assert.isTrue(there))
        yield* Effect.repeat(stays, { times: 30, schedule: Schedule.spaced("100 millis") })
      }).pipe(Effect.provide(NodeContext.layer)),
    240_000
  )
})
