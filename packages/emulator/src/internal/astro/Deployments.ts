/** Deployments: what a request may set, what Astro shows of it, and hibernation. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Power from "../../Power.js"
import { emptyMetadata } from "../airflow/Metadata.js"
import { Halt, isObject, type Json, json, noContent, type Reply } from "../Http.js"
import {
  type Deployment,
  type EnvironmentVariable,
  isoTime,
  pathOf,
  phasesOf,
  type Token,
  type World
} from "../World.js"
import {
  type Call,
  failure,
  getDeployment,
  invalid,
  page,
  pick,
  presentDeployments,
  readBody,
  requireFields,
  requireRights,
  showDeployment,
  shownDeployments,
  subjectOf
} from "./Api.js"

// ---------------------------------------------------------------------------------------------------------------------
// what is shown

const deploymentJson = (call: Call, deployment: Deployment) => {
  const { isV1, now, world } = call
  const { config: { workloadIdentity, ...config }, facts, runtime } = deployment
  const status = shownStatus(call, deployment)
  const override = Power.overrideAt(facts, now)
  return {
    clusterName: "",
    ...config,
    id: deployment.id,
    name: deployment.name,
    description: deployment.description,
    namespace: deployment.namespace,
    organizationId: world.organizationId,
    workspaceId: world.workspaceId,
    workspaceName: "Emulated",
    airflowVersion: runtime.airflowVersion,
    astroRuntimeVersion: runtime.version,
    runtimeVersion: runtime.version,
    status,
    statusReason: reasons[status],
    imageRepository: `images.astronomer.cloud/baseimages/${deployment.id}`,
    imageTag: runtime.version,
    ...dagVersions(call, deployment),
    schedulerCpu: "1",
    schedulerMemory: "2Gi",
    schedulerReplicas: 1,
    environmentVariables: deployment.environmentVariables.map(({ isSecret, key, updatedAt, value }) => ({
      key,
      ...(isSecret ? {} : { value }),
      isSecret,
      updatedAt: isoTime(updatedAt)
    })),
    scalingSpec: {
      hibernationSpec: {
        schedules: deployment.schedules,
        ...(override === null ? {} : { override: overrideJson(override, now) })
      }
    },
    scalingStatus: { hibernationStatus: { isHibernating: status === "HIBERNATING" } },
    ...(status === "CREATING" && world.quirks.lateUrls ? noUrls : urls(world, deployment)),
    webServerCpu: "0.5",
    webServerMemory: "1.5Gi",
    webServerReplicas: 1,
    externalIPs: [],
    ...(workloadIdentity === undefined
      ? {}
      : { [isV1 ? "effectiveWorkloadIdentity" : "workloadIdentity"]: workloadIdentity }),
    createdAt: isoTime(facts.createdAt),
    updatedAt: isoTime(deployment.updatedAt),
    createdBy: deployment.createdBy,
    updatedBy: deployment.updatedBy
  }
}

const shownStatus = ({ now, world }: Call, deployment: Deployment): Power.Status => {
  const { deletedAt, facts } = deployment
  const seenAt = Math.min(now, deletedAt ?? now) - world.quirks.statusLag
  return Power.phaseAt(phasesOf(world, deployment), Math.max(facts.createdAt, seenAt)).status
}

/** What is wanted, and what is there: the same once it has been rolled out. */
const dagVersions = ({ now, world }: Call, { dagVersions, facts }: Deployment) => {
  const wanted = dagVersions.at(-1)
  const there = dagVersions.filter((_, index) => (facts.deploys[index] ?? now) + world.timings.deploy <= now).at(-1)
  return {
    ...(wanted === undefined ? {} : { desiredDagTarballVersion: wanted }),
    ...(there === undefined ? {} : { dagTarballVersion: there })
  }
}

const reasons: Record<Power.Status, string> = {
  CREATING: "Deployment is being created",
  DEPLOYING: "Deployment is rolling out",
  HEALTHY: "Successfully Deployed",
  UNHEALTHY: "Deployment is restarting",
  UNKNOWN: "",
  HIBERNATING: "Deployment is hibernating"
}

/** All with a scheme, for a client would add https to what has none; flipped, they are as Astro's. */
const urls = ({ quirks, url }: World, deployment: Deployment) => {
  const isFlipped = quirks.hostFlips > 0 && Math.floor(deployment.reads / quirks.hostFlips) % 2 === 1
  deployment.reads += 1
  const host = url.replace("http://", "").replace("127.0.0.1", isFlipped ? "localhost" : "127.0.0.1")
  const site = `${host}/${pathOf(deployment)}`
  const api = `${site}/api/${deployment.runtime.airflowVersion.startsWith("2.") ? "v1" : "v2"}`
  const scheme = isFlipped ? "" : "http://"
  return {
    webServerUrl: `${scheme}${site}`,
    webServerAirflowApiUrl: `${scheme}${api}`,
    webServerIngressHostname: site,
    apiUrl: `http://${api}`,
    uiUrl: `http://${site}`
  }
}

const noUrls = {
  webServerUrl: "",
  webServerAirflowApiUrl: "",
  webServerIngressHostname: "",
  apiUrl: "",
  uiUrl: ""
}

const overrideJson = ({ isHibernating, until }: Power.Override, now: number) => ({
  isActive: isHibernating !== null && (until === null || until > now),
  ...(isHibernating === null ? {} : { isHibernating }),
  ...(until === null ? {} : { overrideUntil: isoTime(until) })
})

export const readDeployment = (call: Call, _organization: string, id: string): Reply =>
  json(200, deploymentJson(call, showDeployment(call, id)))

export const listDeployments = (call: Call): Reply => {
  const { query } = call.request
  const only = (name: string, value: string) => !query.has(name) || query.getAll(name).includes(value)
  const found = shownDeployments(call).filter((deployment) =>
    only("deploymentIds", deployment.id) && only("names", deployment.name) &&
    only("workspaceIds", call.world.workspaceId)
  )
  return page(call, "deployments", found.map((deployment) => deploymentJson(call, deployment)))
}

/** Airflow's parts write none here. */
export const logs = (call: Call, _organization: string, id: string): Reply => {
  showDeployment(call, id, 400)
  const { query } = call.request
  if (!query.has("sources")) return invalid(call, "sources", "sources is required")
  const number = (name: string, otherwise: number) => Number(query.get(name) ?? otherwise)
  return json(200, {
    limit: number("limit", 100),
    maxNumResults: number("maxNumResults", 100),
    offset: number("offset", 0),
    resultCount: 0,
    searchId: call.world.ids.id(),
    results: []
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// what is changed

const defaults = {
  type: "STANDARD",
  executor: "CELERY",
  schedulerSize: "SMALL",
  isCicdEnforced: false,
  isDagDeployEnabled: true,
  isDevelopmentMode: false,
  isHighAvailability: false,
  defaultTaskPodCpu: "0.25",
  defaultTaskPodMemory: "0.5Gi",
  resourceQuotaCpu: "10",
  resourceQuotaMemory: "20Gi",
  contactEmails: []
}

/** What a request sets is kept as sent; everything else of a deployment is derived. */
const configurable = [...Object.keys(defaults), "workloadIdentity"]

/** Before version 1 everything had to be said; the CLIs of that time send an empty size of the scheduler. */
const requiredBefore = [
  "type",
  "astroRuntimeVersion",
  "executor",
  "isCicdEnforced",
  "isDagDeployEnabled",
  "isHighAvailability",
  "defaultTaskPodCpu",
  "defaultTaskPodMemory",
  "resourceQuotaCpu",
  "resourceQuotaMemory"
]

export const createDeployment = (call: Call): Reply => {
  const { caller, now, world } = call
  requireRights(call, "operator")
  const body = readBody(call)
  requireFields(call, body, ["name", "workspaceId", ...(call.isV1 ? [] : requiredBefore)])
  const name = String(body.name)
  if (body.workspaceId !== world.workspaceId) return failure(world, 400, "Workspace not found")
  if (world.organization !== "ACTIVE") {
    const state = world.organization.toLowerCase()
    const words = `Organization is ${state}. Please contact Astronomer support.`
    return failure(world, 400, `Error occurred while creating deployment: ${words}`)
  }
  checkName(call, name)
  const type = body.type ?? defaults.type
  if (type !== "STANDARD") return invalid(call, "type", `Deployment type '${String(type)}' is not offered`)
  const runtime = body.astroRuntimeVersion === undefined
    ? world.runtimes[0]
    : world.runtimes.find((release) => release.version === body.astroRuntimeVersion)
  if (runtime === undefined) {
    return invalid(
      call,
      "astroRuntimeVersion",
      `Astro Runtime version '${String(body.astroRuntimeVersion)}' is not available`
    )
  }
  const provider = typeof body.cloudProvider === "string" ? body.cloudProvider : undefined
  const region = provider === undefined && body.region === undefined
    ? world.regions[0]
    : world.regions.find((offered) => offered.provider === provider && offered.name === body.region)
  if (region === undefined) {
    return invalid(
      call,
      "region",
      `Region '${String(body.region)}' is not available for cloud provider '${String(provider)}'`
    )
  }
  checkConfig(call, body, body.isDevelopmentMode === true)
  if (presentDeployments(call).length >= world.maxDeployments) {
    return failure(
      world,
      400,
      `Invalid request: Deployment quota exceeded, the maximum number of deployments is ${world.maxDeployments}`
    )
  }
  const createdBy = subjectOf(caller)
  const config = { ...defaults, ...pick(body, configurable), cloudProvider: region.provider, region: region.name }
  const scaling = readScaling(call, body)
  const deployment: Deployment = {
    id: world.ids.id(),
    createdBy,
    namespace: `${world.ids.word()}-${world.ids.word()}-${world.ids.digits(4)}`,
    name,
    description: typeof body.description === "string" ? body.description : "",
    config: { ...config, workerQueues: readQueues(call, body, config.executor, []) },
    environmentVariables: readVariables(call, body, []),
    schedules: scaling?.schedules ?? [],
    runtime,
    facts: {
      createdAt: now,
      neverHealthy: world.neverHealthy,
      overrides: scaling === undefined ? [] : [scaling.override],
      updates: [],
      deploys: []
    },
    updatedAt: now,
    updatedBy: createdBy,
    deletedAt: null,
    reads: 0,
    dagVersions: [],
    airflow: emptyMetadata()
  }
  world.deployments.push(deployment)
  return json(200, deploymentJson(call, deployment))
}

export const updateDeployment = (call: Call, _organization: string, id: string): Reply => {
  const { caller, now } = call
  const deployment = getDeployment(call, id)
  requireRights(call, "operator", deployment)
  const body = readBody(call)
  requireFields(call, body, ["type", "name", "workspaceId", "executor", "schedulerSize", "environmentVariables"])
  requireFields(call, body, ["isCicdEnforced", "isDagDeployEnabled", "isHighAvailability"])
  const isDevelopment = body.isDevelopmentMode ?? deployment.config.isDevelopmentMode
  if (isDevelopment === true && deployment.config.isDevelopmentMode !== true) {
    return invalid(call, "isDevelopmentMode", "Development mode can only be chosen at creation")
  }
  const name = String(body.name)
  if (name !== deployment.name) checkName(call, name)
  checkConfig(call, body, isDevelopment === true)
  const variables = readVariables(call, body, deployment.environmentVariables)
  const scaling = readScaling(call, body)
  const settings: Json = { ...deployment.config, ...pick(body, configurable), type: "STANDARD" }
  const config = { ...settings, workerQueues: readQueues(call, body, settings.executor, queuesOf(deployment)) }
  const restarts = ["executor", "schedulerSize", "workerQueues"]
  if (
    JSON.stringify(variables) !== JSON.stringify(deployment.environmentVariables) ||
    JSON.stringify(pick(config, restarts)) !== JSON.stringify(pick(deployment.config, restarts))
  ) {
    deployment.facts.updates = [...deployment.facts.updates, now]
  }
  if (scaling !== undefined) {
    deployment.schedules = scaling.schedules
    deployment.facts.overrides = [...deployment.facts.overrides, scaling.override]
  }
  deployment.name = name
  if (typeof body.description === "string") deployment.description = body.description
  deployment.config = config
  deployment.environmentVariables = variables
  touch(deployment, caller, now)
  return json(200, deploymentJson(call, deployment))
}

export const deleteDeployment = (call: Call, _organization: string, id: string): Reply => {
  const deployment = getDeployment(call, id)
  requireRights(call, "operator", deployment)
  deployment.deletedAt = call.now
  for (const token of call.world.tokens.values()) {
    if (token.scope === "DEPLOYMENT" && token.entityId === id) token.deletedAt ??= call.now
  }
  return noContent()
}

const touch = (deployment: Deployment, caller: Token, now: number) => {
  deployment.updatedAt = now
  deployment.updatedBy = subjectOf(caller)
}

const checkName = (call: Call, name: string) => {
  if (!presentDeployments(call).some((deployment) => deployment.name === name)) return
  const words = `Deployment name '${name}' already exists in this workspace`
  throw new Halt(failure(call.world, 400, `Invalid request: ${words}`))
}

const checkConfig = (call: Call, body: Json, isDevelopmentMode: boolean) => {
  const hibernation = isObject(body.scalingSpec) && isObject(body.scalingSpec.hibernationSpec)
  if (hibernation && !isDevelopmentMode) {
    throw new Halt(
      invalid(call, "scalingSpec", "Hibernation is only available for Deployments in development mode")
    )
  }
  if (isDevelopmentMode && body.isHighAvailability === true) {
    throw new Halt(invalid(call, "isHighAvailability", "Development mode and high availability exclude each other"))
  }
  if (isDevelopmentMode && !["SMALL", "", undefined].includes(body.schedulerSize as undefined)) {
    throw new Halt(invalid(call, "schedulerSize", "Development mode needs scheduler size SMALL"))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// parts of what was sent

const newQueue = {
  name: "default",
  isDefault: true,
  minWorkerCount: 0,
  maxWorkerCount: 10,
  workerConcurrency: 5,
  astroMachine: "A5",
  podCpu: "1",
  podMemory: "2Gi",
  podEphemeralStorage: "10Gi"
}

const queuesOf = ({ config: { workerQueues } }: Deployment): ReadonlyArray<Json> =>
  Array.isArray(workerQueues) ? workerQueues.filter(isObject) : []

/** The complete new list, known by their ids, or the old one. There is at least one, but none for Kubernetes. */
const readQueues = (call: Call, body: Json, executor: unknown, known: ReadonlyArray<Json>): ReadonlyArray<Json> => {
  if (executor === "KUBERNETES") return []
  if (!Array.isArray(body.workerQueues) || body.workerQueues.length === 0) {
    return known.length > 0 ? known : [{ id: call.world.ids.id(), ...newQueue }]
  }
  return body.workerQueues.map((item: unknown) => {
    const sent = isObject(item) ? item : {}
    requireFields(call, sent, ["name", "maxWorkerCount", "workerConcurrency"])
    const before = known.find(({ id }) => id === sent.id)
    return {
      id: call.world.ids.id(),
      ...newQueue,
      isDefault: false,
      ...before,
      ...pick(sent, ["id", ...Object.keys(newQueue)])
    }
  })
}

/** The complete new list; a secret that comes without a value keeps the one it has. */
const readVariables = (
  call: Call,
  body: Json,
  known: ReadonlyArray<EnvironmentVariable>
): ReadonlyArray<EnvironmentVariable> =>
  (Array.isArray(body.environmentVariables) ? body.environmentVariables : []).map((item: unknown) => {
    if (!isObject(item) || typeof item.key !== "string" || typeof item.isSecret !== "boolean") {
      throw new Halt(invalid(call, "environmentVariables", "An environment variable needs key and isSecret"))
    }
    const before = known.find((variable) => variable.key === item.key)
    const keeps = before !== undefined && item.isSecret && (item.value === undefined || item.value === "")
    const value = keeps ? before.value : typeof item.value === "string" ? item.value : ""
    return before !== undefined && before.value === value && before.isSecret === item.isSecret
      ? before
      : { key: item.key, value, isSecret: item.isSecret, updatedAt: call.now }
  })

/** What a `scalingSpec` says; `undefined` where none was sent, which keeps the old one. One that is empty removes it. */
const readScaling = (
  call: Call,
  body: Json
): { readonly schedules: ReadonlyArray<Json>; readonly override: Power.Override } | undefined => {
  if (!isObject(body.scalingSpec)) return undefined
  const { hibernationSpec } = body.scalingSpec
  const { override, schedules } = isObject(hibernationSpec) ? hibernationSpec : {}
  return {
    schedules: (Array.isArray(schedules) ? schedules : []).map((item: unknown) => {
      const schedule = isObject(item) ? item : {}
      requireFields(call, schedule, ["hibernateAtCron", "wakeAtCron", "isEnabled"])
      return pick(schedule, ["description", "hibernateAtCron", "wakeAtCron", "isEnabled"])
    }),
    override: readOverride(call, { isHibernating: null, ...(isObject(override) ? override : {}) })
  }
}

const readOverride = (call: Call, body: Json): Power.Override => {
  const { isHibernating, overrideUntil } = body
  if (typeof isHibernating !== "boolean" && isHibernating !== null) {
    throw new Halt(invalid(call, "isHibernating", "isHibernating is required"))
  }
  if (overrideUntil === undefined || overrideUntil === null) return { at: call.now, isHibernating, until: null }
  const until = typeof overrideUntil === "string" ? DateTime.make(overrideUntil) : Option.none()
  if (Option.isNone(until)) throw new Halt(invalid(call, "overrideUntil", "overrideUntil is not a date-time"))
  return { at: call.now, isHibernating, until: until.value.epochMillis }
}

// ---------------------------------------------------------------------------------------------------------------------
// hibernation

export const overrideHibernation = (call: Call, _organization: string, id: string): Reply =>
  json(200, overrideJson(setOverride(call, id, readBody(call)), call.now))

export const removeOverride = (call: Call, _organization: string, id: string): Reply => {
  setOverride(call, id, { isHibernating: null })
  return noContent()
}

const setOverride = (call: Call, id: string, body: Json): Power.Override => {
  const { now, world } = call
  const deployment = getDeployment(call, id)
  requireRights(call, "operator", deployment)
  if (deployment.config.isDevelopmentMode !== true) {
    const words = "Hibernation is only available for Deployments in development mode"
    throw new Halt(failure(world, 400, `Invalid request: ${words}`))
  }
  const override = readOverride(call, body)
  const isAsleep = Power.phaseAt(phasesOf(world, deployment), now).status === "HIBERNATING" &&
    Power.overrideAt(deployment.facts, now)?.isHibernating === true
  if (world.quirks.refusesToHibernateAgain && override.isHibernating === true && isAsleep) {
    throw new Halt(failure(world, 400, "Invalid request: Deployment is already hibernating"))
  }
  deployment.facts.overrides = [...deployment.facts.overrides, override]
  touch(deployment, call.caller, now)
  return override
}
