/** Sends the same requests to the emulator and to a real Airflow, and compares their responses. Nothing is recorded. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { compare, render, whole } from "./differential/compare.js"
import { isDeliberate, unused } from "./differential/deliberate.js"
import { script } from "./differential/script.js"
import * as Sides from "./differential/sides.js"

layer(Sides.layer, { excludeTestServices: true, timeout: "2 minutes" })(
  `the emulator against Airflow ${Sides.version}`,
  (it) => {
    for (const step of script(Sides.version)) {
      it.effect(step.name, () =>
        Effect.gen(function*() {
          const { airflow, emulator } = yield* Sides.Sides
          const [emulated, real] = yield* Effect.all([emulator.run(step), airflow.run(step)], { concurrency: 2 })
          const differences = compare(emulated, real, step.view ?? whole)
            .filter((difference) => !isDeliberate(Sides.version, step.name, difference))
            .map(render)
          assert.isEmpty(differences, `\n${differences.join("\n")}\n`)
        }), 90_000)
    }

    it.effect("every deliberate difference still exists", () =>
      Effect.sync(() => assert.deepStrictEqual(unused(Sides.version), [])))
  }
)
