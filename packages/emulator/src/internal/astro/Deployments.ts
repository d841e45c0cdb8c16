/** Deployments: reading, creating, changing and deleting them, and hibernation. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Lifecycle from "../../Lifecycle.js"
import { emptyMetadata } from "../airflow/Metadata.js"
import { Halt, isObject, type Json, json, noContent, type Response } from "../Http.js"
import { type Deployment, type EnvironmentVariable, ingressPath, isoTime, phasesOf, type Token } from "../World.js"
import {
  type Call,
  failure,
  invalid,
  listedDeployments,
  page,
  pick,
  readBody,
  requireFields,
  requireLiveDeployment,
  requireRights,
  requireVisibleDeployment,
  subjectOf,
  visibleDeployments
} from "./Api.js"

// ---------------------------------------------------------------------------------------------------------------------
// reading

const deploymentJson = (call: Call, deployment: Deployment) => {
  const { api, now, world } = call
  const { config: { workloadIdentity, ...config }, facts, runtime } = deployment
  const status = reportedStatus(call, deployment)
  const override = Lifecycle.overrideAt(facts, now)
  return {
    clusterName: "",
    ...config,
    workerQueues: queuesOf(deployment).map(({ podEphemeralStorage, ...queue }) =>
      api === "v1" ? { ...queue, podEphemeralStorage } : queue
    ),
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
    ...(status === "CREATING" && world.quirks.lateUrls ? noUrls(call) : urls(call, deployment)),
    webServerCpu: "0.5",
    webServerMemory: "1.5Gi",
    webServerReplicas: 1,
    externalIPs: [],
    ...(workloadIdentity === undefined
      ? {}
      : { [api === "v1" ? "effectiveWorkloadIdentity" : "workloadIdentity"]: workloadIdentity }),
    createdAt: isoTime(facts.createdAt),
    updatedAt: isoTime(deployment.updatedAt),
    createdBy: deployment.createdBy,
    updatedBy: deployment.updatedBy
  }
}

/** The status as it was `statusLag` ago. */
const reportedStatus = ({ now, world }: Call, deployment: Deployment): Lifecycle.Status => {
  const { deletedAt, facts } = deployment
  const at = Math.min(now, deletedAt ?? now) - world.quirks.statusLag
  return Lifecycle.phaseAt(phasesOf(world, deployment), Math.max(facts.createdAt, at)).status
}

/** The desired and the current DAG version, which are the same once the latest deploy has been rolled out. */
const dagVersions = ({ now, world }: Call, { dagVersions, facts }: Deployment) => {
  const desired = dagVersions.at(-1)
  const current = dagVersions.filter((_, index) => (facts.deploys[index] ?? now) + world.timings.deploy <= now).at(-1)
  return {
    ...(desired === undefined ? {} : { desiredDagTarballVersion: desired }),
    ...(current === undefined ? {} : { dagTarballVersion: current })
  }
}

const reasons: Record<Lifecycle.Status, string> = {
  CREATING: "Deployment is being created",
  DEPLOYING: "Deployment is rolling out",
  HEALTHY: "Successfully Deployed",
  UNHEALTHY: "Deployment is restarting",
  UNKNOWN: "",
  HIBERNATING: "Deployment is hibernating"
}

/**
 * All URLs have a scheme, because clients add `https` to those without one. When the host is flipped, they are as Astro
 * returns them.
 */
const urls = ({ api, world: { quirks, url } }: Call, deployment: Deployment) => {
  const isFlipped = quirks.hostFlips > 0 && Math.floor(deployment.reads / quirks.hostFlips) % 2 === 1
  deployment.reads += 1
  const host = url.replace("http://", "").replace("127.0.0.1", isFlipped ? "localhost" : "127.0.0.1")
  const site = `${host}/${ingressPath(deployment)}`
  const airflowApi = `${site}/api/${deployment.runtime.airflowVersion.startsWith("2.") ? "v1" : "v2"}`
  const scheme = isFlipped ? "" : "http://"
  return {
    webServerUrl: `${scheme}${site}`,
    webServerAirflowApiUrl: `${scheme}${airflowApi}`,
    webServerIngressHostname: site,
    ...(api === "v1" ? { apiUrl: `http://${airflowApi}`, uiUrl: `http://${site}` } : {})
  }
}

const noUrls = ({ api }: Call) => ({
  webServerUrl: "",
  webServerAirflowApiUrl: "",
  webServerIngressHostname: "",
  ...(api === "v1" ? { apiUrl: "", uiUrl: "" } : {})
})

const overrideJson = ({ isHibernating, until }: Lifecycle.Override, now: number) => ({
  isActive: isHibernating !== null && (until === null || until > now),
  ...(isHibernating === null ? {} : { isHibernating }),
  ...(until === null ? {} : { overrideUntil: isoTime(until) })
})

export const getDeployment = (call: Call, _organization: string, id: string): Response =>
  json(200, deploymentJson(call, requireVisibleDeployment(call, id)))

export const listDeployments = (call: Call): Response => {
  const { query } = call.request
  const matches = (name: string, value: string) => !query.has(name) || query.getAll(name).includes(value)
  const found = visibleDeployments(call).filter((deployment) =>
    matches("deploymentIds", deployment.id) && matches("names", deployment.name) &&
    matches("workspaceIds", call.world.workspaceId)
  )
  return page(call, "deployments", found.map((deployment) => deploymentJson(call, deployment)))
}

/** Always empty: the emulated Airflow has no component logs. */
export const listLogs = (call: Call, _organization: string, id: string): Response => {
  requireVisibleDeployment(call, id, 400)
  const { query } = call.request
  if (!query.has("sources")) return invalid(call, "sources", "sources is required")
  const number = (name: string, preset: number) => Number(query.get(name) ?? preset)
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
// creating, changing and deleting

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

/** The fields that are stored as they were sent. All other fields of a deployment are derived. */
const configurable = [...Object.keys(defaults), "workloadIdentity"]

/** The APIs before version 1 require all of these. */
const requiredBefore = [
  "type",
  "astroRuntimeVersion",
  "executor",
  "isCicdEnforced",
  "isDagDeployEnabled",
  "isHighAvailability",
  "schedulerSize",
  "defaultTaskPodCpu",
  "defaultTaskPodMemory",
  "resourceQuotaCpu",
  "resourceQuotaMemory"
]

export const createDeployment = (call: Call): Response => {
  const { caller, now, world } = call
  requireRights(call, "operator")
  const body = readBody(call)
  requireFields(call, body, ["name", "workspaceId", ...(call.api === "v1" ? [] : requiredBefore)])
  const name = String(body.name)
  if (body.workspaceId !== world.workspaceId) return failure(world, 400, "Workspace not found")
  if (world.organization !== "ACTIVE") {
    const state = world.organization.toLowerCase()
    const reason = `Organization is ${state}. Please contact Astronomer support.`
    return failure(world, 400, `Error occurred while creating deployment: ${reason}`)
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
  if (listedDeployments(call).length >= world.maxDeployments) {
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
    metadata: emptyMetadata()
  }
  world.deployments.push(deployment)
  return json(200, deploymentJson(call, deployment))
}

export const updateDeployment = (call: Call, _organization: string, id: string): Response => {
  const { caller, now } = call
  const deployment = requireLiveDeployment(call, id)
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
  const restarting = ["executor", "schedulerSize", "workerQueues"]
  if (
    JSON.stringify(variables) !== JSON.stringify(deployment.environmentVariables) ||
    JSON.stringify(pick(config, restarting)) !== JSON.stringify(pick(deployment.config, restarting))
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
  recordChange(deployment, caller, now)
  return json(200, deploymentJson(call, deployment))
}

export const deleteDeployment = (call: Call, _organization: string, id: string): Response => {
  const deployment = requireLiveDeployment(call, id)
  requireRights(call, "operator", deployment)
  deployment.deletedAt = call.now
  for (const token of call.world.tokens.values()) {
    if (token.scope === "DEPLOYMENT" && token.entityId === id) token.deletedAt ??= call.now
  }
  return noContent()
}

const recordChange = (deployment: Deployment, caller: Token, now: number) => {
  deployment.updatedAt = now
  deployment.updatedBy = subjectOf(caller)
}

const checkName = (call: Call, name: string) => {
  if (!listedDeployments(call).some((deployment) => deployment.name === name)) return
  const reason = `Deployment name '${name}' already exists in this workspace`
  throw new Halt(failure(call.world, 400, `Invalid request: ${reason}`))
}

const checkConfig = (call: Call, body: Json, isDevelopmentMode: boolean) => {
  const hasHibernation = isObject(body.scalingSpec) && isObject(body.scalingSpec.hibernationSpec)
  if (hasHibernation && !isDevelopmentMode) {
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
// parts of request bodies

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

/**
 * The complete new list of worker queues, which are identified by their ids. A request without queues keeps the old
 * list. There is at least one queue, but none with the Kubernetes executor.
 */
const readQueues = (call: Call, body: Json, executor: unknown, known: ReadonlyArray<Json>): ReadonlyArray<Json> => {
  if (executor === "KUBERNETES") return []
  if (!Array.isArray(body.workerQueues) || body.workerQueues.length === 0) {
    return known.length > 0 ? known : [{ id: call.world.ids.id(), ...newQueue }]
  }
  return body.workerQueues.map((item: unknown) => {
    const sent = isObject(item) ? item : {}
    requireFields(call, sent, ["name", "maxWorkerCount", "workerConcurrency"])
    for (const field of ["maxWorkerCount", "workerConcurrency"]) {
      if (Number(sent[field]) >= 1) continue
      throw new Halt(invalid(call, "workerQueues", `${field} must be at least 1`))
    }
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

/** The complete new list of variables. A secret that is sent without a value keeps its value. */
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
    const keepsValue = before !== undefined && item.isSecret && (item.value === undefined || item.value === "")
    const value = keepsValue ? before.value : typeof item.value === "string" ? item.value : ""
    return before !== undefined && before.value === value && before.isSecret === item.isSecret
      ? before
      : { key: item.key, value, isSecret: item.isSecret, updatedAt: call.now }
  })

/**
 * The schedules and the override in a `scalingSpec`. `undefined` without one, which changes nothing; an empty one
 * deletes both.
 */
const readScaling = (
  call: Call,
  body: Json
): { readonly schedules: ReadonlyArray<Json>; readonly override: Lifecycle.Override } | undefined => {
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

const readOverride = (call: Call, body: Json): Lifecycle.Override => {
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

export const overrideHibernation = (call: Call, _organization: string, id: string): Response =>
  json(200, overrideJson(setOverride(call, id, readBody(call)), call.now))

export const deleteOverride = (call: Call, _organization: string, id: string): Response => {
  setOverride(call, id, { isHibernating: null })
  return noContent()
}

const setOverride = (call: Call, id: string, body: Json): Lifecycle.Override => {
  const { now, world } = call
  const deployment = requireLiveDeployment(call, id)
  requireRights(call, "operator", deployment)
  if (deployment.config.isDevelopmentMode !== true) {
    const reason = "Hibernation is only available for Deployments in development mode"
    throw new Halt(failure(world, 400, `Invalid request: ${reason}`))
  }
  const override = readOverride(call, body)
  const isHibernating = Lifecycle.phaseAt(phasesOf(world, deployment), now).status === "HIBERNATING" &&
    Lifecycle.overrideAt(deployment.facts, now)?.isHibernating === true
  if (world.quirks.refusesToHibernateAgain && override.isHibernating === true && isHibernating) {
    throw new Halt(failure(world, 400, "Invalid request: Deployment is already hibernating"))
  }
  deployment.facts.overrides = [...deployment.facts.overrides, override]
  recordChange(deployment, call.caller, now)
  return override
}
