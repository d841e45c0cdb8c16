/** What real programs did, held against the library, the emulator and the stand-in. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { meaning, play, type Recording } from "./recording.js"
import { scenes } from "./scenes.js"
import * as StandIn from "./StandIn.js"

const folder = new URL("recordings/", import.meta.url)

const means = new Map(scenes.flatMap(({ steps }) => steps.map((step) => [step.name, step.means] as const)))

for (const file of readdirSync(folder)) {
  const { astro, scenes: recorded }: Recording = JSON.parse(readFileSync(new URL(file, folder), "utf8"))
  const stale = `recordings are stale: run npm run record:astro with the real astro ${astro}`

  describe(`astro ${astro}`, () => {
    it("is understood", () => {
      const invocations = Object.values(recorded).flat()
      const found = invocations.map(({ args, step, ...ended }) => [step, meaning(args, ended)])
      const expected = invocations.map(({ step }) => [step, means.get(step) === "version" ? astro : means.get(step)])
      assert.deepStrictEqual(found, expected)
    })

    for (const scene of scenes) {
      it.scopedLive(`is what the stand-in stands in for: ${scene.title}`, () =>
        Effect.gen(function*() {
          const { bin } = yield* StandIn.make({ version: astro })
          const played = yield* play(scene, bin)
          const real = recorded[scene.title] ?? []
          // the first that differs says whose fault it is
          for (const [at, { args, requests, stdin, step }] of played.entries()) {
            const was = real[at]
            assert.deepStrictEqual(
              { args, stdin, step },
              { args: was?.args, stdin: was?.stdin, step: was?.step },
              stale
            )
            for (const [index, { answer, ...request }] of requests.entries()) {
              const { answer: answered, ...asked } = was?.requests[index] ?? { answer: null }
              assert.deepStrictEqual({ ...request }, { ...asked } as typeof request, "the stand-in asks otherwise")
              assert.deepStrictEqual(answer, answered, stale)
            }
          }
          assert.deepStrictEqual(played, real, "the stand-in does otherwise")
        }), 60_000)
    }
  })
}
