/**
 * What a reaper costs while a lease is in use, next to a Node that does nothing: its own memory, and its CPU time. Needs Linux and the built
 * packages. `npm run bench:reaper`, about a minute.
 */
import { DeploymentPool } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { AirflowResource, AirflowResources } from "airflow-resource"
import { Console, Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"

/** Megabytes that only this process uses, and seconds of CPU time. */
const costOf = (pid: number) => {
  const own = /RssAnon:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  const [user, system] = fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ").slice(11, 13) ?? []
  return { megabytes: Number(own) / 1024, cpu: (Number(user) + Number(system)) / 100 }
}

const program = Effect.gen(function*() {
  const emulator = yield* Emulator.make({ speed: 100 })
  const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
  const settings = yield* AirflowResources.settingsOf(emulator, { AIRFLOW_RESOURCE_CACHE: `${folder}/cache.db` })
  const idle = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"])),
    (child) => Effect.sync(() => child.kill())
  )
  yield* AirflowResource.use({ testName: "bench" }, () =>
    Effect.gen(function*() {
      yield* Effect.sleep("45 seconds")
      const { upkeep } = yield* Effect.flatMap(DeploymentPool.DeploymentPool, (pool) => pool.inspect)
      const reaper = costOf(upkeep.holder!.owner.pid)
      const bare = costOf(idle.pid!)
      yield* Console.log(
        `reaper: ${reaper.megabytes.toFixed(0)} MB of its own, ${
          (reaper.megabytes / bare.megabytes).toFixed(1)
        } × a Node that does nothing; ${reaper.cpu.toFixed(2)} s of CPU time in 45 s, its start included`
      )
    })).pipe(Effect.provide(AirflowResources.layer({ ...settings, delivery: { _tag: "None" } })))
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

NodeRuntime.runMain(program)
