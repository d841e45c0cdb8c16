/**
 * Astro, GitHub's repository secrets and Airflow over real HTTP in one process, on loopback only.
 *
 * The emulator is stateful and deterministic: ids come from a seed, and every status follows from the requests and from
 * the time, which may run faster than real time. It imports nothing from the clients that are tested against it, so
 * that a mistake cannot agree with itself.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestServices from "effect/TestServices"
import type * as AuditLog from "./AuditLog.js"
import * as Dags from "./Dags.js"
import type * as Faults from "./Faults.js"
import * as Audit from "./internal/Audit.js"
import * as SealedBox from "./internal/SealedBox.js"
import * as Server from "./internal/Server.js"
import * as World from "./internal/World.js"
import * as Lifecycle from "./Lifecycle.js"
import * as Quirks from "./Quirks.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The port on 127.0.0.1; a free one by default. */
  readonly port?: number
  /** The same seed gives the same ids and token values. 1 by default. */
  readonly seed?: number
  /** How many times faster than Astro the emulator runs; 1 by default. */
  readonly speed?: number
  /** In real time, before `speed` is applied. Durations that are left out are {@link Lifecycle.defaultDurations}. */
  readonly durations?: Partial<Lifecycle.Durations>
  /** The DAGs of every deployment's Airflow; {@link Dags.helloWorld} by default. */
  readonly dags?: ReadonlyArray<Dags.DagSpec>
  /**
   * The Astro Runtime versions on offer. A deployment that is created without a version gets the first one. The version
   * of Airflow decides which API the deployment serves. By default 13.1.0 (Airflow 2.11.0), followed by versions with
   * Airflow 2.10 to 3.3.
   */
  readonly runtimes?: ReadonlyArray<{ readonly version: string; readonly airflowVersion: string }>
  readonly regions?: ReadonlyArray<{ readonly provider: "AWS" | "GCP" | "AZURE"; readonly name: string }>
  /**
   * A real Airflow to which a deployment's requests are forwarded, after the same checks, instead of an emulated one.
   */
  readonly airflow?: (deployment: { readonly id: string; readonly name: string }) => {
    readonly url: string
    /** The whole header: `Basic …` for Airflow 2, `Bearer …` for Airflow 3. */
    readonly authorization: string
  }
  /** The rights of {@link Service.astroToken}; `owner` by default. */
  readonly tokenRights?: Rights
  /** The quota of deployments; there is none by default. */
  readonly maxDeployments?: number
  /**
   * The state of the organization. One that is not `ACTIVE` creates no deployments. The token does not see an
   * organization that is `INVISIBLE`. `ACTIVE` by default.
   */
  readonly organization?: "ACTIVE" | "INACTIVE" | "SUSPENDED" | "INVISIBLE"
  /** None by default. */
  readonly quirks?: Quirks.Quirks
  /** New deployments stay `CREATING` for ever. */
  readonly neverHealthy?: boolean
  /** Each as `owner/name`; one named `example/dags` by default. */
  readonly repositories?: ReadonlyArray<string>
}

/**
 * What a workspace token may do: an owner everything, an operator everything except creating, changing and deleting API
 * tokens, a member only read.
 *
 * @since 0.1.0
 * @category models
 */
export type Rights = "owner" | "operator" | "member"

/**
 * What Airflow reports of its components. A component that is left out keeps its state.
 *
 * @since 0.1.0
 * @category models
 */
export interface Health {
  readonly scheduler?: "healthy" | "unhealthy"
  /** Airflow 2 has none of its own and always reports `null`. */
  readonly dagProcessor?: "healthy" | "unhealthy"
  readonly triggerer?: "healthy" | "unhealthy"
}

/**
 * A running emulator.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** How many times faster than Astro the emulator runs. */
  readonly speed: number
  /** Stands for `https://api.astronomer.io`: the paths below it start with `/v1`. */
  readonly astroApiUrl: string
  /** Stands for `https://api.github.com`. */
  readonly githubApiUrl: string
  readonly organizationId: string
  readonly workspaceId: string
  /** A workspace API token that expires in ten years. */
  readonly astroToken: Redacted.Redacted
  readonly githubToken: Redacted.Redacted
  /** The first repository, as `owner/name`. */
  readonly repository: string
  /** The runtime versions it offers. A new deployment that names none gets the first. */
  readonly runtimeVersions: ReadonlyArray<string>
  /** The regions it offers, spelled as in `ASTRO_CLOUD_PROVIDER` and `ASTRO_REGION`. */
  readonly regions: ReadonlyArray<{ readonly cloudProvider: string; readonly region: string }>
  /** Mints another workspace token. With `expiresIn: 0` it has already expired. */
  readonly mintAstroToken: (
    options?: { readonly expiresIn?: Duration.DurationInput; readonly rights?: Rights }
  ) => Effect.Effect<Redacted.Redacted>
  /** Mints another GitHub token. Without rights it does not see the repositories. */
  readonly mintGithubToken: (rights: "write" | "read" | "none") => Effect.Effect<Redacted.Redacted>
  readonly audit: Effect.Effect<AuditLog.Audit>
  /** The decrypted values of a repository's secrets; of the first repository by default. */
  readonly secrets: (repository?: string) => Effect.Effect<Record<string, string>>
  readonly secretWrites: Effect.Effect<
    ReadonlyArray<{ readonly at: number; readonly repo: string; readonly name: string }>
  >
  readonly faults: Faults.Faults
  /** Replaces the DAG files of every Airflow, like a deploy. A run keeps the DAG that it was triggered with. */
  readonly setDags: (dags: ReadonlyArray<Dags.DagSpec>) => Effect.Effect<void, EmulatorError>
  /** Sets the health that every Airflow reports. It has no effect on tasks, which run all the same. */
  readonly setHealth: (health: Health) => Effect.Effect<void>
  /** Whether deployments that are created from now on stay `CREATING` for ever. */
  readonly neverHealthy: (isOn: boolean) => Effect.Effect<void>
}

/**
 * The emulator cannot start, or was given DAGs that cannot run.
 *
 * @since 0.1.0
 * @category errors
 */
export class EmulatorError extends Schema.TaggedError<EmulatorError>("@airflow-resource/emulator/EmulatorError")(
  "EmulatorError",
  {
    kind: Schema.Literal("portInUse", "cannotListen", "invalidDags"),
    detail: Schema.String,
    remedy: Schema.String
  }
) {
  override get message(): string {
    const operation = this.kind === "invalidDags" ? "load DAGs into the emulator" : "start the emulator"
    return `Could not ${operation}: ${this.detail}. ${this.remedy}`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Emulator extends Context.Tag("@airflow-resource/emulator/Emulator")<Emulator, Service>() {}

/**
 * Starts an emulator, which stops when the scope closes. It keeps real time, even when it is built under a TestClock.
 *
 * @example
 * ```ts
 * import { Emulator } from "@airflow-resource/emulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(
 *   Effect.gen(function*() {
 *     const emulator = yield* Emulator.make({ speed: 100 })
 *     const { awake } = yield* emulator.audit
 *     return { url: emulator.astroApiUrl, awake }
 *   })
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service, EmulatorError, Scope.Scope> =>
  Effect.flatMap(TestServices.provideLive(Effect.clock), (clock) =>
    Effect.gen(function*() {
      yield* SealedBox.ready
      const dags = options.dags ?? [Dags.helloWorld]
      yield* checkDags(dags)
      const port = options.port ?? 0
      const server = yield* Effect.mapError(Server.listen(port), (error) => cannotListen(port, error))
      const run = yield* FiberSet.makeRuntime<never>()
      const now = yield* clock.currentTimeMillis
      const world = World.make(settings(options, Server.urlOf(server), now))
      // deployed early enough that every Airflow has parsed them
      world.deploys.push({ at: now - world.timings.parse, dags })
      const service = makeService(world, options.tokenRights ?? "owner", clock, now)
      server.on("request", (request, response) => run(Server.handle(world, options.airflow, request, response)))
      return service
    }).pipe(Effect.withClock(clock)))

/**
 * Provides an emulator. Every call returns a layer of its own: assign it to a constant to share one emulator.
 *
 * @example
 * ```ts
 * import { Emulator } from "@airflow-resource/emulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.map(Emulator.Emulator, (emulator) => emulator.astroApiUrl).pipe(
 *   Effect.provide(Emulator.layer({ speed: 1000 }))
 * )
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Emulator, EmulatorError> =>
  Layer.scoped(Emulator, make(options))

// internal

const settings = (options: Options, url: string, now: number): World.Settings => {
  const speed = options.speed ?? 1
  return {
    url,
    startedAt: now,
    seed: options.seed ?? 1,
    speed,
    timings: Lifecycle.timings(options.durations ?? {}, speed),
    quirks: Quirks.resolve(options.quirks ?? {}, speed),
    runtimes: options.runtimes ?? [
      { version: "13.1.0", airflowVersion: "2.11.0" },
      { version: "12.7.1", airflowVersion: "2.10.5" },
      { version: "13.5.0", airflowVersion: "2.11.2" },
      { version: "3.0-9", airflowVersion: "3.0.6" },
      { version: "3.1-12", airflowVersion: "3.1.8" },
      { version: "3.2-5", airflowVersion: "3.2.2" },
      { version: "3.3-3", airflowVersion: "3.3.2" }
    ],
    regions: options.regions ?? [
      { provider: "AWS", name: "us-east-1" },
      { provider: "AWS", name: "us-west-2" },
      { provider: "GCP", name: "us-central1" },
      { provider: "AZURE", name: "eastus2" }
    ],
    maxDeployments: options.maxDeployments ?? Infinity,
    organization: options.organization ?? "ACTIVE",
    neverHealthy: options.neverHealthy ?? false,
    repositories: options.repositories ?? ["example/dags"]
  }
}

const makeService = (world: World.World, tokenRights: Rights, clock: Clock.Clock, startedAt: number): Service => {
  const withNow = <A>(f: (now: number) => A): Effect.Effect<A> => Effect.map(clock.currentTimeMillis, f)
  const repository = world.repositories[0]?.fullName ?? ""
  return {
    url: world.url,
    speed: world.speed,
    astroApiUrl: world.url,
    githubApiUrl: `${world.url}/github`,
    organizationId: world.organizationId,
    workspaceId: world.workspaceId,
    astroToken: mintWorkspaceToken(world, startedAt, tokenRights),
    githubToken: Redacted.make(World.mintGithubToken(world, "write")),
    repository,
    runtimeVersions: world.runtimes.map(({ version }) => version),
    regions: world.regions.map(({ name, provider }) => ({ cloudProvider: provider.toLowerCase(), region: name })),
    mintAstroToken: ({ expiresIn, rights = "owner" } = {}) =>
      withNow((now) => mintWorkspaceToken(world, now, rights, expiresIn)),
    mintGithubToken: (rights) => Effect.sync(() => Redacted.make(World.mintGithubToken(world, rights))),
    audit: withNow((now) => Audit.read(world, now)),
    secrets: (name = repository) =>
      Effect.sync(() => {
        const secrets = World.findRepository(world, name)?.secrets ?? new Map<string, World.Secret>()
        return Object.fromEntries([...secrets].map(([key, secret]) => [key, secret.value]))
      }),
    secretWrites: Effect.sync(() => [...world.secretWrites]),
    faults: {
      next: (fault) => Effect.sync(() => void world.faults.push({ fault, left: fault.times ?? 1 })),
      pending: Effect.sync(() => world.faults.reduce((sum, { left }) => sum + left, 0)),
      clear: Effect.sync(() => void world.faults.splice(0))
    },
    setDags: (dags) => Effect.zipRight(checkDags(dags), withNow((now) => void world.deploys.push({ at: now, dags }))),
    setHealth: (health) =>
      withNow((now) => {
        for (const component of World.components) {
          const state = health[component]
          if (state !== undefined) World.setHealth(world, component, state === "healthy", now)
        }
      }),
    neverHealthy: (isOn) =>
      Effect.sync(() => {
        world.neverHealthy = isOn
      })
  }
}

const mintWorkspaceToken = (
  world: World.World,
  now: number,
  rights: Rights,
  expiresIn: Duration.DurationInput = "3650 days"
): Redacted.Redacted =>
  Redacted.make(
    World.mintToken(world, now, {
      name: `workspace ${rights}`,
      description: "",
      scope: "WORKSPACE",
      entityId: world.workspaceId,
      role: `WORKSPACE_${rights.toUpperCase()}`,
      expiresAt: now + Duration.toMillis(expiresIn)
    }).value
  )

const checkDags = (dags: ReadonlyArray<Dags.DagSpec>): Effect.Effect<void, EmulatorError> => {
  const problem = dags.map(Dags.inOrder).find((ordered) => typeof ordered === "string")
  return typeof problem !== "string"
    ? Effect.void
    : new EmulatorError({
      kind: "invalidDags",
      detail: problem,
      remedy: "Correct this DAG in the option dags, or in the call of setDags."
    })
}

const cannotListen = (port: number, { code = "unknown" }: NodeJS.ErrnoException): EmulatorError => {
  const remedy = "Choose another port, or leave it out to get a free one."
  return code === "EADDRINUSE"
    ? new EmulatorError({ kind: "portInUse", detail: `port ${port} is in use`, remedy })
    : new EmulatorError({ kind: "cannotListen", detail: `it cannot listen on port ${port} (${code})`, remedy })
}
