import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as StandIn from "../../astro/test/StandIn.js"
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
