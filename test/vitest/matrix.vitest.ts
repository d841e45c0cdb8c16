/** All scenes over one version of vitest, which `npm run test:vitest` has installed in the folder AIRFLOW_RESOURCE_TEST_VITEST. */
import { NodeContext } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Project from "./project.js"
import * as Scenes from "./scenes.js"

const vitest = process.env["AIRFLOW_RESOURCE_TEST_VITEST"]!

const { version } = JSON.parse(fs.readFileSync(path.join(vitest, "package.json"), "utf8"))

// they mostly wait
describe.concurrent(`vitest ${version}`, () => {
  for (const [title, play] of Object.entries(Scenes.all)) {
    it.live(
      title,
      () => Effect.flatMap(Project.make(vitest), play).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      600_000
    )
  }
})
