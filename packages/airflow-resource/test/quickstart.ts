import { DeploymentCache, DeploymentPool } from "@airflow-resource/core"
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { AirflowResources } from "airflow-resource"
import { Effect, Layer } from "effect"
import * as Child from "./child.js"

/**
 * Runs the quickstart against an emulator of its own, through the astro CLI if one is given. Returns what it prints, what the ledger
 * records, and what is left on the emulated Astro.
 */
export const run = (bin?: string) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: 100 })
    const folder = yield* Child.folder
    const variables = { AIRFLOW_RESOURCE_CACHE: `${folder}/cluster_cache.db`, AIRFLOW_RESOURCE_DELIVERY: "none" }
    const child = yield* Child.start(
      "../../../examples/quickstart.ts",
      ["--provider", bin === undefined ? "api" : "cli"],
      {
        ...(bin === undefined ? {} : { ASTRO_BIN: bin }),
        ...AirflowResources.variablesOf(emulator),
        ...variables
      },
      folder
    )
    const { code, stderr, stdout } = yield* Effect.timeout(child.ended, "5 minutes")
    const events = yield* Effect.gen(function*() {
      const { rules: { poolId } } = yield* (yield* DeploymentPool.DeploymentPool).inspect
      return yield* (yield* DeploymentCache.DeploymentCache).events(poolId)
    }).pipe(
      Effect.provide(
        Layer.unwrapEffect(
          Effect.map(
            AirflowResources.settingsOf(emulator, variables),
            (settings) => AirflowResources.layerPool(settings)
          )
        )
      )
    )
    const { awake, deployments, tokens } = yield* emulator.audit
    return {
      code,
      stderr,
      // without the timeline, which leaves out short steps
      prints: stdout.split("\n").filter((line) => /^ +(\d|\|)/.test(line) && !isTimely(line)).map(normal),
      events: events.filter(({ detail }) => !isTimely(detail)).map(({ detail, epoch, kind, slot }) =>
        `${slot} ${epoch} ${kind} ${normal(detail)}`
      ),
      left: { awake, deployments: deployments.length, tokens }
    }
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

/** Depends on timing: a slower process finds the deployment asleep already. */
const isTimely = (text: string) => text.includes("waiting until it hibernates")

/** Without times, ports, and ids. */
const normal = (text: string) =>
  text.replace(/\d+\.\d s\b|\d{4}-\d\d-\d\dT[\d:.]+Z/g, "T").replace(/127\.0\.0\.1:\d+\/\w+/g, "AIRFLOW")
    .replace(/test__\w+/g, "RUN").replace(/\b[0-9a-f]{8,32}\b/g, "HEX").replace(/\bc[a-z0-9]{24}\b/g, "ID").trim()
