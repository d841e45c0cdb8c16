/** A run of vitest, as a user starts it, whose workers share a few real local Airflows. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Dags from "../packages/local/test/dags.js"
import * as Home from "../packages/local/test/home.js"
import * as Child from "./child.js"
import * as Local from "./local.js"

const Held = Schema.parseJson(Schema.Struct({
  file: Schema.String,
  pid: Schema.Number,
  deploymentId: Schema.String,
  epoch: Schema.Number,
  from: Schema.Number,
  to: Schema.Number
}))

const config = `
import { defineConfig } from "vitest/config"

const conditions = ["@airflow-resource/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["tests/*.test.ts"],
    pool: "forks",
    minWorkers: 4,
    maxWorkers: 4,
    testTimeout: 0,
    globalSetup: ["@airflow-resource/testing/globalSetup"]
  }
})
`

it.scopedLive(
  `8 test files in 4 workers share 2 Airflows ${Home.version}, and none meets another`,
  () =>
    Effect.gen(function*() {
      const scene = yield* Local.make({ env: { AIRFLOW_RESOURCE_MAX: "2" } })
      const { env, project } = scene
      yield* Local.write(scene, "hello.py", Dags.hello("hello", "Hello"))
      fs.symlinkSync(fileURLToPath(new URL("../node_modules", import.meta.url)), path.join(project, "node_modules"))
      fs.writeFileSync(path.join(project, "package.json"), JSON.stringify({ type: "module" }))
      fs.writeFileSync(path.join(project, "vitest.config.ts"), config)
      fs.mkdirSync(path.join(project, "tests"))
      const files = Array.from({ length: 8 }, (_, index) => `tests/${index}.test.ts`)
      for (const file of files) {
        fs.copyFileSync(new URL("many/sees.fixture.ts", import.meta.url), path.join(project, file))
      }

      const { code, text } = yield* Child.vitest({
        config: pathToFileURL(path.join(project, "vitest.config.ts")),
        env,
        timeout: "20 minutes"
      })
      assert.strictEqual(code, 0, text)
      assert.match(text, /Tests\s+8 passed \(8\)/)

      const lines = fs.readFileSync(path.join(project, "record.jsonl"), "utf8").trimEnd().split("\n")
      const held = yield* Effect.forEach(lines, (line) => Schema.decode(Held)(line))
      assert.sameMembers(held.map(({ file }) => file), files)
      assert.lengthOf(Home.foldersOf(scene.home), 2)
      assert.lengthOf(new Set(held.map(({ deploymentId }) => deploymentId)), 2)
      for (const [index, one] of held.entries()) {
        for (const other of held.slice(index + 1)) {
          if (one.deploymentId !== other.deploymentId) continue
          assert.notStrictEqual(one.epoch, other.epoch)
          assert.isTrue(
            one.to < other.from || other.to < one.from,
            `${JSON.stringify(one)} meets ${JSON.stringify(other)}`
          )
        }
      }
      yield* Local.isAsleep(scene)
    }),
  60 * 60_000
)
