/**
 * The same calls to the emulator and to a real Airflow: what they answer is compared, and nothing is recorded.
 */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { compare, difference, whole } from "./differential/compare.js"
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
          const [mine, real] = yield* Effect.all([emulator.ask(step), airflow.ask(step)], { concurrency: 2 })
          const found = compare(mine, real, step.view ?? whole)
            .filter((one) => !isDeliberate(Sides.version, step.name, one))
            .map(difference)
          assert.isEmpty(found, `\n${found.join("\n")}\n`)
        }), 90_000)
    }

    it.effect("every deliberate difference is still one", () =>
      Effect.sync(() => assert.deepStrictEqual(unused(Sides.version), [])))
  }
)
