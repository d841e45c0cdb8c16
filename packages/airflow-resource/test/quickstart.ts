import { DeploymentCache, DeploymentPool } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { AirflowResources } from "airflow-resource"
import { Effect } from "effect"
import { environment } from "../../../test/chaos/processes.js"
import * as Child from "./child.js"

/** The quickstart against an emulator of its own, through the astro CLI where one is given: what it says, what the ledger has, what is left. */
export const run = (bin?: string) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 100 })
    const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
    const cache = `${folder}/cluster_cache.db`
    const child = yield* Child.start(
      "../../../examples/quickstart.ts",
      ["--provider", bin === undefined ? "api" : "cli"],
      {
        ...(bin === undefined ? {} : { ASTRO_BIN: bin }),
        ...environment(emulator, folder, 4)
      },
      folder
    )
    const { code, stderr, stdout } = yield* Effect.timeout(child.ended, "2 minutes")
    const events = yield* Effect.gen(function*() {
      const { rules: { poolId } } = yield* (yield* DeploymentPool.DeploymentPool).inspect
      return yield* (yield* DeploymentCache.DeploymentCache).events(poolId)
    }).pipe(
      Effect.provide(AirflowResources.layerPool(AirflowResources.settingsOf(emulator, { cache, delivery: "none" })))
    )
    const { awake, deployments, tokens } = yield* emulator.audit
    return {
      code,
      stderr,
      // not the timeline, which leaves out what took no time
      says: stdout.split("\n").filter((line) => /^ +(\d|\|)/.test(line) && !isTimely(line)).map(normal),
      events: events.filter(({ detail }) => !isTimely(detail)).map(({ detail, epoch, kind, slot }) =>
        `${slot} ${epoch} ${kind} ${normal(detail)}`
      ),
      left: { awake, deployments: deployments.length, tokens }
    }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** Who is slower finds it asleep. */
const isTimely = (text: string) => text.includes("waiting until it hibernates")

/** Without times, ports, and ids. */
const normal = (text: string) =>
  text.replace(/\d+\.\d s\b|\d{4}-\d\d-\d\dT[\d:.]+Z/g, "T").replace(/127\.0\.0\.1:\d+\/\w+/g, "AIRFLOW")
    .replace(/test__\w+/g, "RUN").replace(/\b[0-9a-f]{8,32}\b/g, "HEX").replace(/\bc[a-z0-9]{24}\b/g, "ID").trim()
