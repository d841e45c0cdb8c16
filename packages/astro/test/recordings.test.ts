/** Compares recordings of real programs with the library, the emulator and the stand-in. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { meaning, play, type Recording } from "./recording.js"
import { scenes } from "./scenes.js"
import * as StandIn from "./StandIn.js"

const folder = new URL("recordings/", import.meta.url)

const meanings = new Map(scenes.flatMap(({ steps }) => steps.map((step) => [step.name, step.means] as const)))

for (const file of readdirSync(folder)) {
  const { astro, scenes: recorded }: Recording = JSON.parse(readFileSync(new URL(file, folder), "utf8"))
  const stale = `recordings are stale: run npm run record:astro with the real astro ${astro}`

  describe(`astro ${astro}`, () => {
    it("is read as expected", () => {
      const invocations = Object.values(recorded).flat()
      const actual = invocations.map(({ args, step, ...ended }) => [step, meaning(args, ended)])
      const expected = invocations.map((
        { step }
      ) => [step, meanings.get(step) === "version" ? astro : meanings.get(step)])
      assert.deepStrictEqual(actual, expected)
    })

    for (const scene of scenes) {
      it.scopedLive(`is matched by the stand-in: ${scene.title}`, () =>
        Effect.gen(function*() {
          const { bin } = yield* StandIn.make({ version: astro })
          const played = yield* play(scene, bin)
          const real = recorded[scene.title] ?? []
          // the first difference shows which side is wrong
          for (const [at, { args, requests, stdin, step }] of played.entries()) {
            const recording = real[at]
            assert.deepStrictEqual(
              { args, stdin, step },
              { args: recording?.args, stdin: recording?.stdin, step: recording?.step },
              stale
            )
            for (const [index, { answer, ...request }] of requests.entries()) {
              const { answer: recordedAnswer, ...recordedRequest } = recording?.requests[index] ?? { answer: null }
              assert.deepStrictEqual(
                { ...request },
                { ...recordedRequest } as typeof request,
                "the stand-in sends another request"
              )
              assert.deepStrictEqual(answer, recordedAnswer, stale)
            }
          }
          assert.deepStrictEqual(played, real, "the stand-in behaves differently")
        }))
    }
  })
}
