/**
 * Everything that exists in one emulator. These are facts, which only requests change, in place. What follows from them
 * and from the time, such as a status or the end of a run, is computed on each read.
 */
import * as DateTime from "effect/DateTime"
import type { RequestRecord } from "../AuditLog.js"
import type { DagSpec } from "../Dags.js"
import type { Queue } from "../Faults.js"
import * as Lifecycle from "../Lifecycle.js"
import type * as Quirks from "../Quirks.js"
import type { Metadata } from "./airflow/Metadata.js"
import type { Json } from "./Http.js"
import { Ids } from "./Ids.js"
import * as SealedBox from "./SealedBox.js"

// ---------------------------------------------------------------------------------------------------------------------
// Astro

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
  /** The organization, workspace or deployment that it belongs to. */
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
  /** The fields that a request may set, as they were sent. Reads return them unchanged. */
  config: Json
  environmentVariables: ReadonlyArray<EnvironmentVariable>
  /** Stored and returned, but never applied. */
  schedules: ReadonlyArray<Json>
  readonly runtime: Runtime
  readonly facts: { -readonly [K in keyof Lifecycle.Facts]: Lifecycle.Facts[K] }
  updatedAt: number
  updatedBy: Subject
  deletedAt: number | null
  /** How often Astro has returned it. */
  reads: number
  /** The DAG version of each deploy, oldest first. */
  dagVersions: ReadonlyArray<string>
  readonly metadata: Metadata
}

export interface Runtime {
  readonly version: string
  readonly airflowVersion: string
}

export interface Region {
  readonly provider: "AWS" | "GCP" | "AZURE"
  readonly name: string
}

// ---------------------------------------------------------------------------------------------------------------------
// Airflow

/** The parts of Airflow whose health it reports. */
export const components = ["scheduler", "dagProcessor", "triggerer"] as const

export type Component = typeof components[number]

// ---------------------------------------------------------------------------------------------------------------------
// GitHub

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

export type GithubRights = "write" | "read" | "none"

// ---------------------------------------------------------------------------------------------------------------------
// the world

export interface World {
  readonly url: string
  readonly ids: Ids
  readonly startedAt: number
  readonly speed: number
  readonly timings: Lifecycle.Timings
  readonly quirks: Quirks.Resolved
  readonly runtimes: ReadonlyArray<Runtime>
  readonly regions: ReadonlyArray<Region>
  readonly maxDeployments: number
  readonly organizationId: string
  readonly organization: "ACTIVE" | "INACTIVE" | "SUSPENDED" | "INVISIBLE"
  readonly workspaceId: string
  neverHealthy: boolean
  /** Each one holds all DAGs from `at` on. */
  readonly deploys: Array<{ readonly at: number; readonly dags: ReadonlyArray<DagSpec> }>
  /** Components that report unhealthy, and since when. */
  readonly unhealthy: Map<Component, number>
  /** In order of creation, deleted ones included. */
  readonly deployments: Array<Deployment>
  /** By id, deleted ones included. */
  readonly tokens: Map<string, Token>
  /** By current value. */
  readonly tokenValues: Map<string, Token>
  readonly repositories: Array<Repository>
  readonly githubTokens: Map<string, { readonly id: string; readonly rights: GithubRights }>
  readonly secretWrites: Array<{ readonly at: number; readonly repo: string; readonly name: string }>
  /** Records are replaced, never mutated: an audit that was returned earlier must not change. */
  readonly requests: Array<RequestRecord>
  readonly faults: Queue
  /** What is left of the rate limits, by token and method. */
  readonly buckets: Map<string, { readonly at: number; readonly level: number }>
}

/** What is fixed when the emulator starts. */
export interface Settings extends
  Pick<
    World,
    | "url"
    | "startedAt"
    | "speed"
    | "timings"
    | "quirks"
    | "runtimes"
    | "regions"
    | "maxDeployments"
    | "organization"
    | "neverHealthy"
  >
{
  readonly seed: number
  /** As `owner/name`. */
  readonly repositories: ReadonlyArray<string>
}

export const make = ({ repositories, seed, ...settings }: Settings): World => {
  const ids = new Ids(seed)
  return {
    ...settings,
    ids,
    organizationId: ids.id(),
    workspaceId: ids.id(),
    deploys: [],
    unhealthy: new Map(),
    deployments: [],
    tokens: new Map(),
    tokenValues: new Map(),
    repositories: repositories.map((fullName) => ({
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

export const isoTime = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(Math.floor(millis)))

// ---------------------------------------------------------------------------------------------------------------------
// deployments

export const liveDeployments = (world: World): ReadonlyArray<Deployment> =>
  world.deployments.filter((deployment) => deployment.deletedAt === null)

/** The first segment of the paths that lead to its Airflow. */
export const ingressPath = (deployment: Deployment): string => `d${deployment.id.slice(-7)}`

export const phasesOf = (world: World, deployment: Deployment): ReadonlyArray<Lifecycle.Phase> => {
  const { deploys, overrides, updates } = deployment.facts
  const known = timelines.get(deployment)
  if (known?.overrides === overrides && known.updates === updates && known.deploys === deploys) return known.phases
  const phases = Lifecycle.timeline(deployment.facts, world.timings, world.quirks.blip)
  timelines.set(deployment, { deploys, overrides, updates, phases })
  return phases
}

/** Cached, because every request needs a timeline, and it grows with each hibernation. */
const timelines = new WeakMap<
  Deployment,
  Pick<Lifecycle.Facts, "deploys" | "overrides" | "updates"> & { readonly phases: ReadonlyArray<Lifecycle.Phase> }
>()

export const statusOf = (world: World, deployment: Deployment, now: number): Lifecycle.Status =>
  Lifecycle.phaseAt(phasesOf(world, deployment), now).status

export const setHealth = (world: World, component: Component, isHealthy: boolean, now: number): void => {
  if (isHealthy) world.unhealthy.delete(component)
  else world.unhealthy.set(component, world.unhealthy.get(component) ?? now)
}

// ---------------------------------------------------------------------------------------------------------------------
// tokens

export const mintToken = (
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
  renewToken(world, now, minted)
  return minted
}

/** Replaces the token's value; the old one is no longer accepted. */
export const renewToken = (world: World, now: number, token: Token): void => {
  world.tokenValues.delete(token.value)
  token.value = newValue(world, now, token)
  world.tokenValues.set(token.value, token)
}

/** It has the form of a JSON Web Token, but its signature is random: only this emulator accepts it. */
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

/** The token with this value; `undefined` unless it is accepted at `now`. */
export const findToken = (world: World, value: string | undefined, now: number): Token | undefined => {
  const token = world.tokenValues.get(value ?? "")
  if (token === undefined) return undefined
  const isExpired = token.expiresAt !== null && Math.floor(token.expiresAt / 1000) * 1000 <= now
  const isRevoked = token.deletedAt !== null && now >= token.deletedAt + world.timings.tokenRevocation
  return isExpired || isRevoked ? undefined : token
}

export const mintGithubToken = (world: World, rights: GithubRights): string => {
  const value = `github_pat_${world.ids.text(40)}`
  world.githubTokens.set(value, { id: `github ${rights}`, rights })
  return value
}

export const findRepository = (world: World, fullName: string): Repository | undefined =>
  world.repositories.find((repository) => repository.fullName.toLowerCase() === fullName.toLowerCase())
