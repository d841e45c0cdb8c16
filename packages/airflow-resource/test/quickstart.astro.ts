import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Quickstart from "./quickstart.js"

it.live("the quickstart behaves the same through the real astro CLI and over REST", () =>
  Effect.gen(function*() {
    const [api, cli] = yield* Effect.all([Quickstart.run(), Quickstart.run(process.env["ASTRO_BIN"] ?? "astro")], {
      concurrency: 2
    })
    assert.strictEqual(api.code, 0, api.stderr)
    assert.deepStrictEqual(cli, api)
    assert.deepStrictEqual(api.left, { awake: [], deployments: 1, tokens: [] })
  }), 180_000)
