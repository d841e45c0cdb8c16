/**
 * What a lease costs besides waiting for others: its calls to Astro and to Airflow, the programs that it starts, its
 * time and its CPU time. Measured with REST and, in turns, through the astro CLI at `ASTRO_BIN`. The emulator runs in
 * its own process and responds at once. The deliberate pauses of a lease are off: for the revocation of tokens, before
 * a reset, and between two polls of a ready Airflow. The counts and the ratio are reliable; the milliseconds depend on
 * the machine. `npm run bench:astro`, about a minute.
 */
import { AirflowApi } from "@airflow-resource/airflow"
import { AstroApi, AstroCli, AstroProject } from "@airflow-resource/astro"
import {
  AirflowResource,
  DagDelivery,
  DeploymentPool,
  type DeploymentProvider,
  type ProjectDirectory
} from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import { FetchHttpClient, FileSystem, HttpClient, type Path } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Logger, LogLevel, Option, Redacted } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { quantile } from "./compare.js"

const leases = 20

/** Counts calls to others, and measures for how long at least one of them was working. */
class Others {
  readonly counts = { astro: 0, airflow: 0, spawns: 0 }
  #busy = 0
  #since = 0
  #under = 0
  during<A, E, R>(kind: keyof Others["counts"], work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.counts[kind] += 1
        if (this.#under++ === 0) this.#since = performance.now()
      }),
      () => work,
      () =>
        Effect.sync(() => {
          if (--this.#under === 0) this.#busy += performance.now() - this.#since
        })
    )
  }
  get busy() {
    return this.#busy
  }
}

const emulator = Effect.gen(function*() {
  const main = fileURLToPath(new URL("../packages/airflow-resource/src/main.ts", import.meta.url))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      // with this process's arguments for Node: how to load TypeScript, and where the packages are
      spawn(process.execPath, [...process.execArgv, main, "emulator", "--speed", "100000", "--json"], {
        stdio: ["ignore", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const [line] = yield* Effect.promise(() => once(child.stdout, "data"))
  const { astroApiUrl, astroToken, workspaceId } = JSON.parse(String(line)) as Record<string, string>
  return {
    apiUrl: astroApiUrl ?? "",
    token: Redacted.make(astroToken ?? ""),
    workspaceId: workspaceId ?? "",
    organizationId: Option.none(),
    // the emulator has no limits, and the client's own limits are not measured
    rates: { get: 10_000, post: 10_000, delete: 10_000 }
  }
})

type Account = Effect.Effect.Success<typeof emulator>

/** The layers of `AirflowResources.layer` without its pauses. All calls to others are counted. */
const world = (account: Account, via: "api" | "cli", others: Others) =>
  Effect.gen(function*() {
    const folder = yield* Effect.flatMap(
      FileSystem.FileSystem,
      (fs) => fs.makeTempDirectoryScoped({ prefix: "bench-" })
    )
    const http = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        (client) =>
          HttpClient.transform(client, (response, { url }) =>
            others.during(url.startsWith(`${account.apiUrl}/v1`) ? "astro" : "airflow", response))
      )
    ).pipe(Layer.provide(FetchHttpClient.layer))
    const runner = Layer.effect(
      ProcessRunner.ProcessRunner,
      Effect.map(ProcessRunner.ProcessRunner, ({ run }) => ({
        run: (command: ProcessRunner.Command) => {
          if (command.args[0] === "api") {
            others.counts.astro += 1
          }
          return others.during("spawns", run(command))
        }
      }))
    ).pipe(Layer.provide(ProcessRunner.layer))
    const api = AstroApi.layer(account)
    const services: Layer.Layer<
      DeploymentProvider.DeploymentProvider | ProjectDirectory.ProjectDirectory,
      never,
      HttpClient.HttpClient | ProcessRunner.ProcessRunner | FileSystem.FileSystem | Path.Path
    > = via === "api"
      ? Layer.mergeAll(api, AstroProject.layer)
      : Layer.mergeAll(api.pipe(Layer.provide(AstroCli.layerHttpClient)), AstroProject.layerCli).pipe(
        Layer.provide(AstroCli.layer({ ...account, bin: process.env["ASTRO_BIN"] }))
      )
    const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
    return yield* Layer.build(
      Layer.mergeAll(
        DeploymentPool.layer({ spec, prefix: `bench-${via}`, revocationWait: 0, readyPolls: 1, reset: { settle: 0 } }),
        DagDelivery.layerNone
      ).pipe(
        Layer.provideMerge(SqliteDeploymentCache.layer({ path: `${folder}/cluster_cache.db` })),
        Layer.provide(AirflowApi.layer),
        Layer.provideMerge(services),
        Layer.provide([http, runner, NodeContext.layer])
      )
    )
  })

interface Spent {
  readonly clock: number
  readonly ours: number
  readonly cpu: number
  readonly counts: Others["counts"]
}

/** A lease that does nothing, including its release. */
const lease = (others: Others) =>
  Effect.gen(function*() {
    const before = { ...others.counts }
    const busy = others.busy
    const cpu = process.cpuUsage()
    const startedAt = performance.now()
    yield* AirflowResource.use({ testName: "bench" }, () => Effect.void)
    const clock = performance.now() - startedAt
    const { system, user } = process.cpuUsage(cpu)
    const since = (kind: keyof typeof before) => others.counts[kind] - before[kind]
    return {
      clock,
      ours: clock - (others.busy - busy),
      cpu: (user + system) / 1000,
      counts: { astro: since("astro"), airflow: since("airflow"), spawns: since("spawns") }
    } satisfies Spent
  })

const row = (title: string, spent: ReadonlyArray<Spent>) => {
  const median = (of: (one: Spent) => number) => quantile(spent.map(of), 0.5)
  const ms = (value: number) => `${value.toFixed(0)} ms`.padStart(9)
  const count = (kind: keyof Others["counts"]) => String(median(({ counts }) => counts[kind])).padStart(9)
  return title.padEnd(18) + count("astro") + count("airflow") + count("spawns") +
    ms(median(({ clock }) => clock)) + ms(median(({ ours }) => ours)) + ms(median(({ cpu }) => cpu))
}

Effect.gen(function*() {
  const account = yield* emulator
  const ways = process.env["ASTRO_BIN"] === undefined ? ["api"] as const : ["api", "cli"] as const
  const measured = yield* Effect.forEach(ways, (via) =>
    Effect.gen(function*() {
      const others = new Others()
      const context = yield* world(account, via, others)
      return { via, one: Effect.provide(lease(others), context), spent: [] as Array<Spent> }
    }))
  for (const { one, spent } of measured) spent.push(yield* one)
  for (let turn = 0; turn < leases; turn++) {
    for (const { one, spent } of turn % 2 === 0 ? measured : [...measured].reverse()) spent.push(yield* one)
  }
  yield* Console.log("lease              to Astro  Airflow   spawns    clock     ours      CPU")
  for (const { spent, via } of measured) {
    yield* Console.log(row(`${via}, created`, spent.slice(0, 1)))
    yield* Console.log(row(`${via}, woken`, spent.slice(1)))
  }
  yield* Console.log(`\nours: the clock time in which no other process worked for the lease; medians of ${leases}`)
  if (ways.length === 1) yield* Console.log("ASTRO_BIN is not set: the astro CLI was not measured")
}).pipe(
  Effect.scoped,
  Effect.timeoutFail({ duration: "10 minutes", onTimeout: () => new Error("bench: it did not end within 10 minutes") }),
  Logger.withMinimumLogLevel(LogLevel.Warning),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
