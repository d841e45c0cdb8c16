import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as StandIn from "../../astro/test/StandIn.js"
import { folder, start } from "./child.js"
import * as Quickstart from "./quickstart.js"

it.scopedLive("the quickstart behaves the same through the astro CLI and over REST", () =>
  Effect.gen(function*() {
    const { bin, calls } = yield* StandIn.make()
    const [api, cli] = yield* Effect.all([Quickstart.run(), Quickstart.run(bin)], { concurrency: 2 })
    assert.strictEqual(api.code, 0, api.stderr)
    assert.deepStrictEqual(cli, api)
    assert.deepStrictEqual(api.left, { awake: [], deployments: 1, tokens: [] })
    assert.isAbove(api.events.length, 10)
    assert.isAbove((yield* calls).length, 10)
  }), 600_000)

it.scopedLive("the quickstart explains itself, and says what Ctrl-C does", () =>
  Effect.gen(function*() {
    const cwd = yield* folder
    const begin = (...args: ReadonlyArray<string>) => start("../../../examples/quickstart.ts", args, {}, cwd)
    const run = (...args: ReadonlyArray<string>) => Effect.flatMap(begin(...args), ({ ended }) => ended)
    const help = yield* run("--help")
    assert.deepStrictEqual([help.code, help.stderr], [0, ""])
    assert.include(help.stdout, "--provider emulator")
    const wrong: ReadonlyArray<readonly [args: ReadonlyArray<string>, problem: RegExp]> = [
      [["--provider"], /^Option '--provider <value>' argument missing/],
      [["--provider", "x"], /^There is no provider "x"\./],
      [["--verbose"], /^Unknown option '--verbose'/],
      [["local"], /^Unexpected argument 'local'/]
    ]
    for (const [args, problem] of wrong) {
      const { code, stderr, stdout } = yield* run(...args)
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.match(stderr, problem)
      assert.include(stderr, help.stdout)
    }

    const { child, ended, prints } = yield* begin("--provider", "emulator")
    yield* prints("stdout", "waiting for HEALTHY")
    child.kill("SIGINT")
    const interrupted = yield* ended
    assert.strictEqual(interrupted.code, 130)
    assert.include(interrupted.stderr, "Interrupted: the Airflow is given back")
    assert.include(interrupted.stdout, "hibernating")
  }), 600_000)
