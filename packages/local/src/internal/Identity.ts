/** Which process this is, and whether another one that said who it was still runs. */
import * as Host from "@airflow-resource/core/Host"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Effect from "effect/Effect"
import type { ProcessIdentity } from "./DeploymentFolder.js"
import * as Processes from "./Processes.js"

export const self: Effect.Effect<ProcessIdentity> = Effect.gen(function*() {
  const { owner: { bootId, pid } } = yield* Host.live
  return { bootId, pid, startedAt: (yield* Processes.startedAt(pid)) ?? "" }
}).pipe(Effect.provide(NodeFileSystem.layer))

/** `false` for a process of an earlier boot, or of another container: neither can be seen from here. */
export const isAlive = (self: ProcessIdentity) => (other: ProcessIdentity): Effect.Effect<boolean> =>
  other.bootId === self.bootId ? Processes.isSame(other) : Effect.succeed(false)
