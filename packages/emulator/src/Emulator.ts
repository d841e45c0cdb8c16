/**
 * Astro, GitHub's secrets and Airflow over real HTTP in one process, on loopback only.
 *
 * It is stateful and deterministic: identifiers come from a seed, and every status follows from what was asked for and
 * from the time, which may run faster than real. It imports nothing of the clients that are tested against it: a mistake
 * must not be able to agree with itself.
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
import { createHash } from "node:crypto"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type * as AuditLog from "./AuditLog.js"
import * as Dags from "./Dags.js"
import * as Faults from "./Faults.js"
import * as AirflowServer from "./internal/AirflowServer.js"
import * as Astro from "./internal/astro/Routes.js"
import * as GithubServer from "./internal/GithubServer.js"
import * as Wire from "./internal/Http.js"
import * as Ingress from "./internal/Ingress.js"
import * as SealedBox from "./internal/SealedBox.js"
import * as Send from "./internal/Send.js"
import * as World from "./internal/World.js"
import * as Power from "./Power.js"
import * as Quirks from "./Quirks.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** A free port by default. */
  readonly port?: number
  /** The same seed gives the same identifiers and token values. */
  readonly seed?: number
  /** 1, the default, is as slow as Astro; 100 is hundred times faster. */
  readonly speed?: number
  /** In real time, before `speed` is applied. */
  readonly durations?: Partial<Power.Durations>
  /** What every deployment's Airflow has; {@link Dags.helloWorld} by default. */
  readonly dags?: ReadonlyArray<Dags.DagSpec>
  /**
   * The first is what a deployment gets that asks for none: 13.1.0 (Airflow 2.11.0) by default, with others of every
   * Airflow from 2.10 to 3.3. The version of its Airflow decides which API a deployment serves.
   */
  readonly runtimes?: ReadonlyArray<{ readonly version: string; readonly airflowVersion: string }>
  readonly regions?: ReadonlyArray<{ readonly provider: "AWS" | "GCP" | "AZURE"; readonly name: string }>
  /** Forwards the traffic of a deployment's Airflow to a real one, under the same checks, instead of emulating it. */
  readonly airflow?: (deployment: { readonly id: string; readonly name: string }) => {
    readonly url: string
    /** The whole header: `Basic …` for Airflow 2, `Bearer …` for Airflow 3. */
    readonly authorization: string
  }
  /** What the Astro token may do: an operator may not create or delete API tokens, a member may only look. */
  readonly tokenRights?: Rights
  readonly maxDeployments?: number
  /**
   * The organization's state: one that is not active creates no deployments; one that is `INVISIBLE` is not the token's.
   * `ACTIVE` by default.
   */
  readonly organization?: "ACTIVE" | "INACTIVE" | "SUSPENDED" | "INVISIBLE"
  /** None by default. */
  readonly quirks?: Quirks.Quirks
  /** New deployments stay `CREATING` for ever. */
  readonly neverHealthy?: boolean
  /** As `owner/name`; `example/dags` by default. */
  readonly repositories?: ReadonlyArray<string>
}

/**
 * What a workspace token may do.
 *
 * @since 0.1.0
 * @category models
 */
export type Rights = "owner" | "operator" | "member"

/**
 * What health says; what is left out stays as it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Health {
  readonly scheduler?: "healthy" | "unhealthy"
  /** On Airflow 2 it is part of the scheduler, and stays `null`. */
  readonly dagProcessor?: "healthy" | "unhealthy"
  /** `null`, as where there is none, unless it is unhealthy. */
  readonly triggerer?: "healthy" | "unhealthy"
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** How many times faster than Astro it is. */
  readonly speed: number
  /** Stands for `https://api.astronomer.io`: what comes after it starts with `/v1`. */
  readonly astroApiUrl: string
  /** Stands for `https://api.github.com`. */
  readonly githubApiUrl: string
  readonly organizationId: string
  readonly workspaceId: string
  /** A workspace API token that does not expire for ten years. */
  readonly astroToken: Redacted.Redacted
  readonly githubToken: Redacted.Redacted
  /** The first repository, as `owner/name`. */
  readonly repository: string
  /** One more workspace token; with `expiresIn: 0` an expired one. */
  readonly mintAstroToken: (
    options?: { readonly expiresIn?: Duration.DurationInput; readonly rights?: Rights }
  ) => Effect.Effect<Redacted.Redacted>
  /** One more GitHub token; without rights it does not see the repositories. */
  readonly mintGithubToken: (rights: "write" | "read" | "none") => Effect.Effect<Redacted.Redacted>
  readonly audit: Effect.Effect<AuditLog.Audit>
  /** The values in a repository's secrets, out of the sealed boxes they came in. */
  readonly secrets: (repository?: string) => Effect.Effect<Record<string, string>>
  readonly secretWrites: Effect.Effect<
    ReadonlyArray<{ readonly at: number; readonly repo: string; readonly name: string }>
  >
  readonly faults: Faults.Faults
  /** As if a deploy had replaced all DAG files. Runs that were triggered keep the DAG they were triggered with. */
  readonly setDags: (dags: ReadonlyArray<Dags.DagSpec>) => Effect.Effect<void, EmulatorError>
  /** What health says of these parts of every Airflow; it does not keep tasks from running. */
  readonly setHealth: (health: Health) => Effect.Effect<void>
  /** Whether deployments that are created from now on stay `CREATING` for ever. */
  readonly neverHealthy: (isOn: boolean) => Effect.Effect<void>
}

/**
 * The emulator could not start, or was given DAGs that cannot run.
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
    return `The emulator cannot be used: ${this.detail}. ${this.remedy}`
  }
  readonly retryable = false
}

/**
 * @since 0.1.0
 * @category tags
 */
export class Emulator extends Context.Tag("@airflow-resource/emulator/Emulator")<Emulator, Service>() {}

/**
 * Starts an emulator that lives as long as the scope. It keeps real time, also where it is built under a TestClock.
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
      const server = yield* listen(options.port ?? 0)
      const run = yield* FiberSet.makeRuntime<never>()
      const now = yield* Effect.clockWith((live) => live.currentTimeMillis)
      const world = makeWorld(options, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, now)
      world.deploys.push({ at: now - world.timings.parse, dags })
      const service = makeService(world, options, clock, now)
      server.on("request", (request, response) => run(serve(world, options, request, response)))
      return service
    }).pipe(Effect.withClock(clock)))

/**
 * Bind the result once: every call starts another emulator.
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

// ---------------------------------------------------------------------------------------------------------------------
// the service

const makeService = (world: World.World, options: Options, clock: Clock.Clock, startedAt: number): Service => {
  const withNow = <A>(f: (now: number) => A): Effect.Effect<A> => Effect.map(clock.currentTimeMillis, f)
  const workspaceToken = (rights: Rights, now: number, expiresIn: Duration.DurationInput) =>
    Redacted.make(
      World.mint(world, now, {
        name: `workspace ${rights}`,
        description: "",
        scope: "WORKSPACE",
        entityId: world.workspaceId,
        role: `WORKSPACE_${rights.toUpperCase()}`,
        expiresAt: now + Duration.toMillis(expiresIn)
      }).value
    )
  const githubToken = (rights: "write" | "read" | "none") => {
    const value = `github_pat_${world.ids.text(40)}`
    world.githubTokens.set(value, { id: `github ${rights}`, rights })
    return Redacted.make(value)
  }
  const repository = world.repositories[0]?.fullName ?? ""
  return {
    url: world.url,
    speed: world.speed,
    astroApiUrl: world.url,
    githubApiUrl: `${world.url}/github`,
    organizationId: world.organizationId,
    workspaceId: world.workspaceId,
    astroToken: workspaceToken(options.tokenRights ?? "owner", startedAt, "3650 days"),
    githubToken: githubToken("write"),
    repository,
    mintAstroToken: ({ expiresIn = "3650 days", rights = "owner" } = {}) =>
      withNow((now) => workspaceToken(rights, now, expiresIn)),
    mintGithubToken: (rights) => Effect.sync(() => githubToken(rights)),
    audit: withNow((now) => audit(world, now)),
    secrets: (name = repository) =>
      Effect.sync(() => {
        const found = world.repositories.find((candidate) => candidate.fullName.toLowerCase() === name.toLowerCase())
        return Object.fromEntries([...found?.secrets ?? []].map(([key, secret]) => [key, secret.value]))
      }),
    secretWrites: Effect.sync(() => [...world.secretWrites]),
    faults: {
      next: (fault) => Effect.sync(() => void world.faults.push({ fault, left: fault.times ?? 1 })),
      pending: Effect.sync(() => world.faults.reduce((sum, { left }) => sum + left, 0)),
      clear: Effect.sync(() => void world.faults.splice(0))
    },
    setDags: (dags) => Effect.zipRight(checkDags(dags), withNow((now) => void world.deploys.push({ at: now, dags }))),
    setHealth: ({ dagProcessor, scheduler, triggerer }) =>
      withNow((now) => {
        const set = (part: World.Process, health: "healthy" | "unhealthy" | undefined) => {
          if (health === "unhealthy") world.unhealthy.set(part, world.unhealthy.get(part) ?? now)
          if (health === "healthy") world.unhealthy.delete(part)
        }
        set("scheduler", scheduler)
        set("dagProcessor", dagProcessor)
        set("triggerer", triggerer)
      }),
    neverHealthy: (isOn) =>
      Effect.sync(() => {
        world.neverHealthy = isOn
      })
  }
}

const makeWorld = (options: Options, url: string, now: number): World.World => {
  const ids = new World.Ids(options.seed ?? 1)
  const speed = options.speed ?? 1
  return {
    url,
    ids,
    startedAt: now,
    speed,
    timings: Power.timings(options.durations ?? {}, speed),
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
    organizationId: ids.id(),
    organization: options.organization ?? "ACTIVE",
    workspaceId: ids.id(),
    neverHealthy: options.neverHealthy ?? false,
    deploys: [],
    unhealthy: new Map(),
    deployments: [],
    tokens: new Map(),
    tokenValues: new Map(),
    repositories: (options.repositories ?? ["example/dags"]).map((fullName) => ({
      id: Number(ids.digits(9)),
      fullName,
      key: { id: ids.digits(18), ...SealedBox.keyPair(ids.bytes(32)) },
      secrets: new Map()
    })),
    githubTokens: new Map(),
    secretWrites: [],
    requests: [],
    faults: [],
    buckets: new Map()
  }
}

const checkDags = (dags: ReadonlyArray<Dags.DagSpec>): Effect.Effect<void, EmulatorError> => {
  const wrong = dags.map(Dags.inOrder).find((ordered) => typeof ordered === "string")
  return typeof wrong !== "string"
    ? Effect.void
    : new EmulatorError({ kind: "invalidDags", detail: wrong, remedy: "Correct the DAG that was given as data." })
}

const audit = (world: World.World, now: number): AuditLog.Audit => {
  const states = world.deployments.flatMap((deployment) => {
    const end = deployment.deletedAt ?? Infinity
    const phases = World.phasesOf(world, deployment).filter((phase) => phase.from <= now && phase.from < end)
    const seen: ReadonlyArray<AuditLog.StateRecord> = phases.map(({ from, status }) => ({
      at: from,
      deploymentId: deployment.id,
      status
    }))
    return end > now ? seen : [...seen, { at: end, deploymentId: deployment.id, status: "DELETED" as const }]
  })
  const issued = [...world.tokens.values()].filter((token) => token.scope === "DEPLOYMENT")
  const tokens = issued.filter((token) => token.deletedAt === null)
  const live = World.liveDeployments(world)
  const isAsked = (deployment: World.Deployment) => Power.overrideAt(deployment.facts, now)?.isHibernating === true
  return {
    requests: [...world.requests],
    states: states.sort((a, b) => a.at - b.at),
    deployments: live.map((deployment) => ({
      id: deployment.id,
      name: deployment.name,
      description: deployment.description,
      status: World.statusOf(world, deployment, now),
      hibernationRequested: isAsked(deployment),
      tokens: tokens.filter((token) => token.entityId === deployment.id).map(({ id, name }) => ({ id, name }))
    })),
    // one that still hibernates but was asked to wake is as good as awake
    awake: live.filter((deployment) => !isAsked(deployment)).map((deployment) => deployment.name),
    tokens: tokens.map(({ entityId, id, name }) => ({ id, name, deploymentId: entityId })),
    issued: issued.map(({ createdAt, deletedAt, entityId, id, name }) => ({
      id,
      name,
      deploymentId: entityId,
      createdAt,
      deletedAt
    }))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// the server

const listen = (port: number): Effect.Effect<Http.Server, EmulatorError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<Http.Server, EmulatorError>((resume) => {
      const server = Http.createServer()
      server.once("error", (error: NodeJS.ErrnoException) => {
        const inUse = error.code === "EADDRINUSE"
        resume(
          new EmulatorError({
            kind: inUse ? "portInUse" : "cannotListen",
            detail: inUse ? `port ${port} is in use` : `it cannot listen on port ${port} (${error.code ?? "unknown"})`,
            remedy: "Choose another port, or none to get a free one."
          })
        )
      })
      server.listen({ host: "127.0.0.1", port }, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

/** One request: recorded, spoiled where a fault says so, answered. */
const serve = (
  world: World.World,
  options: Options,
  request: Http.IncomingMessage,
  response: Http.ServerResponse
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const method = request.method ?? "GET"
    const target = request.url ?? "/"
    const deployment = Ingress.findDeployment(world, target.split(/[/?]/)[1])
    const note = noting(world, {
      method,
      path: withoutSignature(target),
      token: tokenLabel(world, request.headers),
      deploymentId: deployment?.id ?? null
    })
    const fault = Faults.take(world.faults, method, target)
    const noted = fault?._tag === "Late" ? undefined : note(yield* currentTime)
    if (fault?._tag === "DropBefore") return drop(request)
    if (fault?._tag === "Status" || fault?._tag === "Html") {
      const reply = spoiled(fault)
      noted?.(reply.status)
      request.resume()
      return yield* Send.send(response, reply)
    }
    if (fault?._tag === "Delay") yield* Effect.sleep(fault.duration)
    // decided once: while a body arrives, an Airflow may have woken
    const admitted = yield* currentTime
    const caller = World.findToken(world, Wire.bearer(request.headers), admitted)
    const refused = deployment === undefined ? undefined : Ingress.refuse(world, deployment, caller, admitted)
    const upstream = deployment === undefined || refused !== undefined ? undefined : options.airflow?.(deployment)
    // what is forwarded at once is piped
    const body = upstream === undefined || fault?._tag === "Late" ? yield* readBody(request) : undefined
    const isDetached = fault?._tag === "Late" && fault.answered !== true
    if (isDetached) drop(request)
    if (fault?._tag === "Late") yield* fault.after
    const now = yield* currentTime
    const settle = noted ?? note(now)
    const lost = deployment === undefined ? undefined : Ingress.lost(world, deployment, admitted, now)
    if (deployment !== undefined && upstream !== undefined && lost === undefined) {
      const tail = target.slice(World.pathOf(deployment).length + 1)
      const isGone = fault?._tag === "Late" && (isDetached || response.destroyed)
      const loses = fault?._tag === "DropAfter" || isGone ? "answer" : fault?._tag === "Cut" ? "end" : undefined
      const status = yield* Ingress.forward(upstream, tail, request, response, { body, loses })
      return settle(fault?._tag === "DropAfter" ? 0 : status)
    }
    const reply = refused ?? lost ??
      answer(world, deployment, Wire.parse(method, target, request.headers, String(body ?? "")), now, caller)
    if (fault?._tag === "DropAfter") return drop(request)
    settle(reply.status)
    // the client of a late request may be gone, which does no harm
    yield* Send.send(response, reply, fault?._tag === "Cut")
  }).pipe(
    // a mistake of the emulator must not look like a slow server
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("The emulator could not answer", defect),
        response.headersSent
          ? Effect.sync(() => response.destroy())
          : Send.send(response, Wire.gatewayPage(500))
      )
    )
  )

const answer = (
  world: World.World,
  deployment: World.Deployment | undefined,
  request: Wire.Request,
  now: number,
  caller: World.Token | undefined
): Wire.Reply => {
  const [first] = request.segments
  const rest = Wire.below(request, 1)
  if (deployment !== undefined) return AirflowServer.handle(world, deployment, rest, now)
  const located = Astro.locate(request)
  if (located !== undefined) return Astro.handle(world, located, now, caller)
  return first === "github" ? GithubServer.handle(world, rest, now) : Wire.gatewayPage(404)
}

const currentTime = Effect.clockWith((clock) => clock.currentTimeMillis)

const readBody = (request: Http.IncomingMessage): Effect.Effect<Buffer> =>
  Effect.async<Buffer>((resume) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
    // whoever sent half a request gets no answer
    request.on("error", () => resume(Effect.interrupt))
  })

const drop = (request: Http.IncomingMessage) => {
  request.socket.destroy()
}

const spoiled = (fault: Extract<Faults.Outcome, { _tag: "Status" | "Html" }>): Wire.Reply => {
  if (fault._tag === "Html") return Wire.gatewayPage(fault.status)
  const body = fault.body === undefined ? "" : typeof fault.body === "string" ? fault.body : JSON.stringify(fault.body)
  return Wire.reply(fault.status, fault.contentType ?? "application/json", body, fault.headers)
}

/** What is left of a path once nothing in it could sign a request. */
const withoutSignature = (target: string): string => {
  const [path = "", query] = target.split("?", 2)
  if (query === undefined) return path
  const kept = query.split("&").filter((part) => !/^(sig|signature|token|access_token|x-amz-signature)=/i.test(part))
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`
}

/** Enters requests of this kind in the audit, the answer's status once it is known. */
const noting =
  (world: World.World, request: Omit<AuditLog.RequestRecord, "at" | "status">) =>
  (at: number): (status: number) => void => {
    const record = { ...request, at, status: 0 }
    const index = world.requests.push(record) - 1
    return (status) => {
      world.requests[index] = { ...record, status }
    }
  }

/** Who asked, without the value that proves it. */
const tokenLabel = (world: World.World, headers: Http.IncomingHttpHeaders): string | null => {
  const value = Wire.bearer(headers)
  if (value === undefined) return null
  return world.tokenValues.get(value)?.id ??
    world.githubTokens.get(value)?.id ??
    `sha256:${createHash("sha256").update(value).digest("hex").slice(0, 8)}`
}
