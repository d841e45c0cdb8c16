import { NodeContext } from "@effect/platform-node"
import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { repository } from "./project.js"
import * as Scenes from "./scenes.js"

const scenes: Readonly<Record<string, Scenes.Scene>> = {
  "a body passes, fails, times out and is retried": Scenes.outcomes("forks"),
  "hooks, variants and fake timers": Scenes.variants,
  "a file shares a lease": Scenes.scopeOfFile,
  "files that are not isolated share a pool": Scenes.notIsolated("threads"),
  "bad input is explained": Scenes.badInput,
  "leases are reported": Scenes.reporter
}

// they mostly wait
describe.concurrent("plain vitest 3", () => {
  for (const [title, play] of Object.entries(scenes)) {
    it.live(title, () => Effect.provide(Effect.scoped(play(repository)), NodeContext.layer))
  }
})
