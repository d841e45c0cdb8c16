import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Child from "./child.js"

it.live(
  "no secret is in what vitest prints of a failing test, including serialized errors",
  () =>
    Effect.gen(function*() {
      const canary = "canary-7b1e9d4c5a"
      const { text } = yield* Child.vitest({
        config: new URL("fixtures/vitest.config.ts", import.meta.url),
        env: { CANARY: canary }
      })
      assert.match(text, /Tests {2}4 failed/, text)
      assert.notInclude(text, canary)
      // the lease's own token is a JWT, and no part of one may be printed either
      assert.notMatch(text, /eyJ[\w-]{10,}/)
      assert.include(text, "<redacted>")
    }),
  330_000
)
