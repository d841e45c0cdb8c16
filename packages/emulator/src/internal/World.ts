/**
 * Everything that exists in one emulator. The facts change in place, only by requests; what follows from them and from
 * the time (a status, the end of a run) is computed when somebody asks.
 */
import * as DateTime from "effect/DateTime"
import * as Utils from "effect/Utils"
import type { RequestRecord } from "../AuditLog.js"
import type { DagSpec } from "../Dags.js"
import type { Queue } from "../Faults.js"
import * as Power from "../Power.js"
import type * as Quirks from "../Quirks.js"
import type { Metadata } from "./airflow/Metadata.js"
import type { Json } from "./Http.js"

export type Scope = "ORGANIZATION" | "WORKSPACE" | "DEPLOYMENT"

export interface Role {
  readonly entityId: string
  readonly entityType: Scope
  readonly role: string
}

export interface Token {
  readonly id: string
  name: string
  description: string
  readonly scope: Scope
  /** What it belongs to. */
  readonly entityId: string
  roles: ReadonlyArray<Role>
  value: string
  readonly createdAt: number
  readonly expiryPeriodInDays: number | null
  readonly expiresAt: number | null
  updatedAt: number
  deletedAt: number | null
  readonly createdBy: Subject
}

export interface Subject {
  readonly id: string
  readonly subjectType: "SERVICEKEY" | "USER"
  readonly apiTokenName?: string
}

export interface EnvironmentVariable {
  readonly key: string
  readonly value: string
  readonly isSecret: boolean
  readonly updatedAt: number
}

export interface Deployment {
  readonly id: string
  readonly createdBy: Subject
  readonly namespace: string
  name: string
  description: string
  /** What a request may set and a read gives back, as it was sent. */
  config: Json
  environmentVariables: ReadonlyArray<EnvironmentVariable>
  /** Kept and shown; they put nothing to sleep. */
  schedules: ReadonlyArray<Json>
  readonly runtime: Runtime
  readonly facts: { -readonly [K in keyof Power.Facts]: Power.Facts[K] }
  updatedAt: number
  updatedBy: Subject
  deletedAt: number | null
  /** How often Astro showed it. */
  reads: number
  /** What each deploy of DAGs brought, in the order of the deploys. */
  dagVersions: ReadonlyArray<string>
  readonly airflow: Metadata
}

/** The parts of Airflow that health tells of. */
export type Process = "scheduler" | "dagProcessor" | "triggerer"

export interface Runtime {
  readonly version: string
  readonly airflowVersion: string
}

export interface Region {
  readonly provider: "AWS" | "GCP" | "AZURE"
  readonly name: string
}

export interface Secret {
  readonly value: string
  readonly createdAt: number
  readonly updatedAt: number
}

export interface Repository {
  readonly id: number
  readonly fullName: string
  readonly key: { readonly id: string; readonly publicKey: Uint8Array; readonly privateKey: Uint8Array }
  readonly secrets: Map<string, Secret>
}

export interface World {
  readonly url: string
  readonly ids: Ids
  readonly startedAt: number
  readonly speed: number
  readonly timings: Power.Timings
  readonly quirks: Quirks.Resolved
  readonly runtimes: ReadonlyArray<Runtime>
  readonly regions: ReadonlyArray<Region>
  readonly maxDeployments: number
  readonly organizationId: string
  readonly organization: "ACTIVE" | "INACTIVE" | "SUSPENDED" | "INVISIBLE"
  readonly workspaceId: string
  neverHealthy: boolean
  /** Each with all the DAGs there were from then on. */
  readonly deploys: Array<{ readonly at: number; readonly dags: ReadonlyArray<DagSpec> }>
  /** Processes that read unhealthy, and since when. */
  readonly unhealthy: Map<Process, number>
  /** In the order of their creation, deleted ones included. */
  readonly deployments: Array<Deployment>
  /** By their ids, deleted ones included. */
  readonly tokens: Map<string, Token>
  /** By their present values. */
  readonly tokenValues: Map<string, Token>
  readonly repositories: Array<Repository>
  readonly githubTokens: Map<string, { readonly id: string; readonly rights: "write" | "read" | "none" }>
  readonly secretWrites: Array<{ readonly at: number; readonly repo: string; readonly name: string }>
  /** Replaced, never changed: what an audit has handed out stays as it is. */
  readonly requests: Array<RequestRecord>
  readonly faults: Queue
  /** What is left of the rate limits, by token and method. */
  readonly buckets: Map<string, { readonly at: number; readonly level: number }>
}

/** Ids, words and signatures that are the same for the same seed. */
export class Ids {
  private readonly random: Utils.PCGRandom
  private lastMicros = 0
  constructor(seed: number) {
    this.random = new Utils.PCGRandom(seed)
  }
  text(length: number, alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"): string {
    return Array.from({ length }, () => alphabet[this.random.integer(alphabet.length)]).join("")
  }
  /** 25 characters, as Astro's. */
  id(): string {
    return `c${this.text(24)}`
  }
  digits(length: number): string {
    return `1${this.text(length - 1, "0123456789")}`
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.random.integer(256))
  }
  word(): string {
    return words[this.random.integer(words.length)] ?? "quiet"
  }
  /** Microseconds that never come twice: Airflow tells the runs of a DAG apart by them. */
  micros(now: number): number {
    this.lastMicros = Math.max(this.lastMicros + 1, Math.floor(now * 1000))
    return this.lastMicros
  }
}

const words = [
  "boreal",
  "cosmic",
  "diameter",
  "galactic",
  "lunar",
  "orbital",
  "primitive",
  "solar",
  "stellar",
  "zodiacal"
]

export const isoTime = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(Math.floor(millis)))

export const liveDeployments = (world: World): ReadonlyArray<Deployment> =>
  world.deployments.filter((deployment) => deployment.deletedAt === null)

export const pathOf = (deployment: Deployment): string => `d${deployment.id.slice(-7)}`

export const phasesOf = (world: World, deployment: Deployment): ReadonlyArray<Power.Phase> => {
  const { deploys, overrides, updates } = deployment.facts
  const known = timelines.get(deployment)
  if (known?.overrides === overrides && known.updates === updates && known.deploys === deploys) return known.phases
  const phases = Power.timeline(deployment.facts, world.timings, world.quirks.blip)
  timelines.set(deployment, { deploys, overrides, updates, phases })
  return phases
}

/** Every request asks for one, and it grows with each hibernation. */
const timelines = new WeakMap<
  Deployment,
  Pick<Power.Facts, "deploys" | "overrides" | "updates"> & { readonly phases: ReadonlyArray<Power.Phase> }
>()

export const statusOf = (world: World, deployment: Deployment, now: number): Power.Status =>
  Power.phaseAt(phasesOf(world, deployment), now).status

/** A JSON Web Token in form; only the emulator that made it knows it. */
export const mint = (
  world: World,
  now: number,
  { role, ...token }: Pick<Token, "name" | "description" | "scope" | "entityId"> & {
    readonly role: string
    readonly expiryPeriodInDays?: number | null
    readonly expiresAt?: number | null
    readonly createdBy?: Subject
  }
): Token => {
  const id = world.ids.id()
  const days = token.expiryPeriodInDays ?? null
  const minted: Token = {
    ...token,
    id,
    roles: [{ entityId: token.entityId, entityType: token.scope, role }],
    value: "",
    createdAt: now,
    updatedAt: now,
    expiryPeriodInDays: days,
    expiresAt: days === null ? token.expiresAt ?? null : now + days * 86_400_000,
    deletedAt: null,
    createdBy: token.createdBy ?? { id: world.ids.id(), subjectType: "USER" }
  }
  world.tokens.set(id, minted)
  renew(world, now, minted)
  return minted
}

/** Gives it a new value, in place of the one it has. */
export const renew = (world: World, now: number, token: Token) => {
  world.tokenValues.delete(token.value)
  token.value = newValue(world, now, token)
  world.tokenValues.set(token.value, token)
}

const newValue = (world: World, now: number, token: Token): string => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const payload = {
    apiTokenId: token.id,
    aud: "astronomer-ee",
    ...(token.expiresAt === null ? {} : { exp: Math.floor(token.expiresAt / 1000) }),
    iat: Math.floor(now / 1000),
    isAstronomerGenerated: true,
    iss: "https://api.astronomer.io",
    permissions: [
      `apiTokenId:${token.id}`,
      `organizationId:${world.organizationId}`,
      `workspaceId:${world.workspaceId}`,
      ...(token.scope === "DEPLOYMENT" ? [`deploymentId:${token.entityId}`] : [])
    ],
    sub: token.id,
    version: "1.0"
  }
  const signature = Buffer.from(world.ids.bytes(32)).toString("base64url")
  return `${part({ alg: "RS256", kid: "emulator", typ: "JWT" })}.${part(payload)}.${signature}`
}

/** The token of this value, as long as it is accepted. */
export const findToken = (world: World, value: string | undefined, now: number): Token | undefined => {
  const token = world.tokenValues.get(value ?? "")
  if (token === undefined) return undefined
  const isExpired = token.expiresAt !== null && Math.floor(token.expiresAt / 1000) * 1000 <= now
  const isRevoked = token.deletedAt !== null && now >= token.deletedAt + world.timings.tokenRevocation
  return isExpired || isRevoked ? undefined : token
}
