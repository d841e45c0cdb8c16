/**
 * A deterministic cloud: deployments with Astro's states and their own tokens, and an Airflow in each. A request takes
 * time, can be held back, and can lose its response. It lands even if its sender has died in the meantime.
 */
import { type Airflow, type AirflowApi, AirflowError } from "@airflow-resource/airflow"
import { Deployment, DeploymentProvider, type DeploymentProvider as Provider } from "@airflow-resource/core"
import { DateTime, Effect, Option, Redacted } from "effect"
import type { VirtualTime } from "./VirtualTime.js"

const { ProviderError } = DeploymentProvider
type ProviderError = Provider.ProviderError

export interface CloudOptions {
  readonly createTakes: number
  readonly wakeTakes: number
  readonly hibernateTakes: number
  /** How long a deleted token is still accepted. */
  readonly revocationLag: number
  /** Of a request and its response together. */
  readonly latency: number
  /** How far the clock of its Airflows is ahead. */
  readonly ahead: number
}

/** The holder that wrote something, as the name of its token says. */
export interface Writer {
  readonly ledger: string
  readonly slot: number
  readonly epoch: number
}

interface Token extends Provider.DeploymentToken {
  readonly value: string
  deletedAt: number | undefined
}

interface Fact extends Provider.NewDeployment {
  readonly id: Deployment.DeploymentId
  readonly createdAt: number
  power: { readonly asleep: boolean; readonly since: number; readonly from: Deployment.DeploymentStatus } | undefined
  /** When the override ends. There are no schedules: it is awake then. */
  overrideUntil: number | undefined
  readonly tokens: Array<Token>
  /** Each key and its writer: an Airflow of this world holds nothing else. */
  readonly variables: Map<string, Writer | string>
}

/** A request that is held back on its way. */
export interface Flight {
  readonly sender: string
  readonly call: string
  /** The request arrives and is carried out. The sender, if it still waits, gets the response. */
  readonly land: () => void
  /** The request never arrives. The sender's call times out. */
  readonly lose: () => void
  /** The sender's call times out. The request can still land. */
  readonly timeOut: () => void
}

/** What becomes of the next request that matches. */
export interface Fate {
  readonly matches: (request: { readonly sender: string; readonly call: string; readonly target: string }) => boolean
  readonly becomes:
    | "held"
    | "response lost"
    | "lost"
    | "refused"
    /** It does not arrive, and fails like this. */
    | { readonly fails: "rateLimited" | "unreachable" }
    | { readonly landsIn: number }
}

export type CloudEvent =
  | {
    readonly _tag: "Wrote"
    readonly at: number
    readonly deployment: string
    readonly writer: Writer | string
    readonly key: string
  }
  | { readonly _tag: "Created" | "Deleted" | "Woken" | "Hibernated"; readonly at: number; readonly deployment: string }

export class Cloud {
  readonly facts = new Map<string, Fact>()
  readonly held: Array<Flight> = []
  readonly fates: Array<Fate> = []
  readonly #log: (event: CloudEvent) => void
  readonly #time: VirtualTime
  readonly #options: CloudOptions
  #count = 0

  constructor(time: VirtualTime, options: CloudOptions, log: (event: CloudEvent) => void) {
    this.#log = log
    this.#time = time
    this.#options = options
  }

  statusOf({ createdAt, power }: Fact): Deployment.DeploymentStatus {
    const { createTakes, hibernateTakes, wakeTakes } = this.#options
    const { now } = this.#time
    if (now < createdAt + createTakes) return "CREATING"
    if (power === undefined) return "HEALTHY"
    const settled = Math.max(power.since, createdAt + createTakes) + (power.asleep ? hibernateTakes : wakeTakes)
    if (power.asleep) return now < settled ? "HEALTHY" : "HIBERNATING"
    return now < power.since || power.from === "HEALTHY" || now >= settled ? "HEALTHY" : "DEPLOYING"
  }

  view(fact: Fact): Deployment.Deployment {
    return new Deployment.Deployment({
      id: fact.id,
      name: fact.name,
      description: fact.description,
      status: this.statusOf(fact),
      hibernationRequested: fact.power?.asleep === true,
      overrideUntil: fact.overrideUntil,
      spec: fact.spec,
      isDevelopment: true,
      airflowUrl: `https://${fact.id}`,
      uiUrl: `https://cloud/${fact.id}`
    })
  }

  /** The deployments that are awake or waking: the ones that cost money. */
  awake(): ReadonlyArray<Fact> {
    return Array.from(this.facts.values()).filter((fact) => fact.power?.asleep !== true)
  }

  tokens(): ReadonlyArray<Token> {
    return Array.from(this.facts.values()).flatMap(({ tokens }) =>
      tokens.filter((token) => token.deletedAt === undefined)
    )
  }

  // what a click in Astro's pages does, or a request when it lands

  setAsleep(id: string, asleep: boolean, until?: number): void {
    const fact = this.facts.get(id)
    if (fact === undefined) return
    fact.overrideUntil = until
    if (until !== undefined) this.#wakeAt(id, until)
    if (fact.power?.asleep === asleep) return
    const from = this.statusOf(fact)
    // a hibernation that has begun is finished before the deployment wakes
    fact.power = !asleep && fact.power !== undefined && from === "HEALTHY"
      ? { asleep, since: fact.power.since + this.#options.hibernateTakes, from: "HIBERNATING" }
      : { asleep, since: this.#time.now, from }
    this.#log({ _tag: asleep ? "Hibernated" : "Woken", at: this.#time.now, deployment: id })
  }

  /** Adds a deployment of a user, who has it hibernate until `overrideUntil`. */
  addOfUser(spec: Deployment.DeploymentSpec, overrideUntil: number | undefined): string {
    const id = Deployment.DeploymentId.make(`d${++this.#count}`)
    const since = this.#time.now - 24 * 3_600_000
    this.facts.set(id, {
      id,
      name: "of a user",
      description: "",
      spec,
      createdAt: since,
      power: { asleep: true, since, from: "HEALTHY" },
      overrideUntil,
      tokens: [],
      variables: new Map()
    })
    if (overrideUntil !== undefined) this.#wakeAt(id, overrideUntil)
    return id
  }

  delete(id: string): void {
    if (this.facts.delete(id)) this.#log({ _tag: "Deleted", at: this.#time.now, deployment: id })
  }

  /** `gate` is the sender's: it decides whether a request is sent, and whether the sender sees the response. */
  provider(sender: string, gate: Gate): typeof DeploymentProvider.DeploymentProvider.Service {
    const request = <A>(call: string, target: string, carryOut: () => Effect.Effect<A, ProviderError>) =>
      gate(call, this.send(sender, call, target, carryOut, (kind) => refuse(kind, call)))
    const requestOf = <A>(id: string, call: string, f: (fact: Fact) => Effect.Effect<A, ProviderError>) =>
      request(call, id, () => {
        const fact = this.facts.get(id)
        return fact === undefined ? refuse("notFound", call) : f(fact)
      })
    const now = () => this.#time.now
    return DeploymentProvider.DeploymentProvider.of({
      ready: Effect.succeed({ host: "world", organizationId: "organization", workspaceId: "workspace" }),
      list: request("list", "", () => Effect.succeed(Array.from(this.facts.values(), (fact) => this.view(fact)))),
      get: (id) => requestOf(id, "get", (fact) => Effect.succeed(this.view(fact))),
      create: (deployment) =>
        request("create", deployment.name, () => {
          if (Array.from(this.facts.values()).some(({ name }) => name === deployment.name)) {
            return refuse("nameTaken", "create")
          }
          const id = Deployment.DeploymentId.make(`d${++this.#count}`)
          const fact: Fact = {
            ...deployment,
            id,
            createdAt: now(),
            power: undefined,
            overrideUntil: undefined,
            tokens: [],
            variables: new Map()
          }
          this.facts.set(id, fact)
          this.#log({ _tag: "Created", at: now(), deployment: id })
          return Effect.succeed(this.view(fact))
        }),
      delete: (id) => request("delete", id, () => Effect.succeed(this.delete(id))),
      hibernate: (id, until) => requestOf(id, "hibernate", () => Effect.succeed(this.setAsleep(id, true, until))),
      wake: (id) => requestOf(id, "wake", () => Effect.succeed(this.setAsleep(id, false))),
      // without schedules, a deployment without an override is awake
      resumeSchedules: (id) => request("resumeSchedules", id, () => Effect.succeed(this.setAsleep(id, false))),
      createToken: (id, name) =>
        requestOf(id, "createToken", (fact) => {
          const tokenId = `t${++this.#count}`
          const token: Token = {
            id: tokenId,
            name,
            createdAt: now(),
            value: `secret of ${tokenId}`,
            deletedAt: undefined
          }
          fact.tokens.push(token)
          return Effect.succeed({ ...token, value: Redacted.make(token.value) })
        }),
      listTokens: (id) =>
        requestOf(
          id,
          "listTokens",
          ({ tokens }) => Effect.succeed(tokens.filter(({ deletedAt }) => deletedAt === undefined))
        ),
      deleteToken: (id, tokenId) =>
        request("deleteToken", id, () => {
          const token = this.facts.get(id)?.tokens.find((token) => token.id === tokenId)
          if (token !== undefined) token.deletedAt ??= now()
          return Effect.void
        }),
      // the pool sets no variables
      setVariables: () => Effect.dieMessage("setVariables is not stubbed")
    })
  }

  airflowApi(sender: string, gate: Gate): typeof AirflowApi.AirflowApi.Service {
    return {
      connect: ({ baseUrl, credentials }) => {
        const id = baseUrl.replace("https://", "")
        const secret = credentials._tag === "Bearer" ? Redacted.value(credentials.token) : ""
        const request = <A>(call: string, carryOut: (fact: Fact, writer: Writer | string) => A) =>
          gate(
            `airflow ${call}`,
            this.send(sender, `airflow ${call}`, id, () => {
              const fact = this.facts.get(id)
              if (fact === undefined || this.statusOf(fact) !== "HEALTHY") return unavailable("unreachable", call)
              const token = fact.tokens.find(({ value }) => value === secret)
              const isKnown = secret === sharedToken || (token !== undefined &&
                (token.deletedAt === undefined || this.#time.now < token.deletedAt + this.#options.revocationLag))
              return isKnown
                ? Effect.succeed(carryOut(fact, token === undefined ? secret : writerOf(token.name)))
                : unavailable("unauthorized", call)
            }, (kind) => unavailable(kind, call))
          )
        const airflow = fake<Airflow.Airflow>("airflow", {
          baseUrl,
          health: request("health", () => ({
            metadatabase: "healthy",
            // it beats as long as the Airflow is up
            scheduler: {
              status: "healthy",
              heartbeat: Option.some(DateTime.unsafeMake(this.#time.now + this.#options.ahead))
            },
            triggerer: Option.none(),
            dagProcessor: Option.none()
          })),
          authenticated: request("authenticated", () => undefined),
          dags: Effect.succeed([]),
          runs: () => Effect.succeed([]),
          hiddenLeftovers: () => Effect.succeed([]),
          pauseAll: request("pauseAll", () => undefined),
          variables: fake<Airflow.Airflow["variables"]>("variables", {
            list: request(
              "list variables",
              ({ variables }) => Array.from(variables.keys(), (key) => ({ key, value: "" }))
            ),
            put: ({ key }) =>
              request("write", ({ variables }, writer) => {
                variables.set(key, writer)
                this.#log({ _tag: "Wrote", at: this.#time.now, deployment: id, writer, key })
              }),
            deleteAll: (keys) =>
              request("delete variables", ({ variables }) => keys.forEach((key) => variables.delete(key)))
          }),
          connections: fake<Airflow.Airflow["connections"]>("connections", { list: Effect.succeed([]) }),
          pools: fake<Airflow.Airflow["pools"]>("pools", {
            list: Effect.succeed([{ name: "default_pool", slots: 128, occupiedSlots: 0, openSlots: 128 }])
          })
        })
        return Effect.as(request("connect", () => undefined), airflow)
      }
    }
  }

  /** Sends a request. What becomes of it does not depend on the sender any more. */
  send<A, E>(
    sender: string,
    call: string,
    target: string,
    /** Changes the cloud when it is called, and returns the response. */
    carryOut: () => Effect.Effect<A, E>,
    failure: (kind: "timeout" | "server" | "rateLimited" | "unreachable") => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.async<A, E>((resume) => {
      const respond = (result: Effect.Effect<A, E>) =>
        void this.#time.at(this.#time.now + this.#options.latency / 2, () => resume(result))
      const arrive = (f: () => void) => void this.#time.at(this.#time.now + this.#options.latency / 2, f)
      const index = this.fates.findIndex(({ matches }) => matches({ sender, call, target }))
      const fate = index < 0 ? undefined : this.fates.splice(index, 1)[0]?.becomes
      if (fate === undefined) return arrive(() => respond(carryOut()))
      if (fate === "response lost") {
        return arrive(() => {
          void carryOut()
          respond(failure("timeout"))
        })
      }
      if (fate === "lost") return arrive(() => respond(failure("timeout")))
      if (fate === "refused") return arrive(() => respond(failure("server")))
      if (typeof fate === "object" && "fails" in fate) return arrive(() => respond(failure(fate.fails)))
      if (fate === "held") {
        const flight: Flight = {
          sender,
          call,
          land: () => {
            this.#drop(flight)
            respond(carryOut())
          },
          lose: () => {
            this.#drop(flight)
            respond(failure("timeout"))
          },
          timeOut: () => respond(failure("timeout"))
        }
        return void this.held.push(flight)
      }
      this.#time.at(this.#time.now + Math.min(fate.landsIn, 30_000), () => respond(failure("timeout")))
      this.#time.at(this.#time.now + fate.landsIn, () => void carryOut())
    })
  }

  /** Unless the override is replaced by then. */
  #wakeAt(id: string, until: number): void {
    this.#time.at(until, () => {
      if (this.facts.get(id)?.overrideUntil === until) this.setAsleep(id, false)
    })
  }

  #drop(flight: Flight): void {
    const index = this.held.indexOf(flight)
    if (index >= 0) this.held.splice(index, 1)
  }
}

/** Wraps a call of an actor. It can suspend the call before it is sent, or before its response is seen. */
export type Gate = <A, E, R>(call: string, send: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** A token that belongs to no deployment and works for all of them. */
export const sharedToken = "a shared token"

const refuse = (kind: ProviderError["kind"], operation: string) =>
  new ProviderError({ kind, operation, detail: kind, remedy: "" })

const unavailable = (kind: AirflowError.AirflowApiError["kind"], operation: string) =>
  new AirflowError.AirflowApiError({ kind, operation, detail: kind, remedy: "" })

/** "airflow-resource <pool> <ledger> s<slot> e<epoch>" */
const writerOf = (name: string): Writer | string => {
  const [, ledger, slot, epoch] = /^airflow-resource \S+ (.+) s(\d+) e(\d+)$/.exec(name) ?? []
  return ledger === undefined ? name : { ledger, slot: Number(slot), epoch: Number(epoch) }
}

/** Throws on a member that is not stubbed, so that `undefined` is never taken for a response. */
const fake = <A extends object>(name: string, members: Partial<A>): A =>
  new Proxy(members, {
    get: (known, member) => {
      if (member in known || typeof member === "symbol") return Reflect.get(known, member)
      return () => {
        throw new Error(`the world's ${name} does not stub ${member}`)
      }
    }
  }) as A
