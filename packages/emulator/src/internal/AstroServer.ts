/** Astro's public API (`/v1`): organization, workspace, deployments, hibernation and API tokens, as a table of routes. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Power from "../Power.js"
import { emptyMetadata } from "./airflow/Metadata.js"
import {
  Halt,
  isObject,
  type Json,
  json,
  match,
  noContent,
  parseJson,
  type Reply,
  reply,
  type Request,
  route
} from "./Http.js"
import {
  type Deployment,
  type EnvironmentVariable,
  isoTime,
  liveDeployments,
  mint,
  pathOf,
  phasesOf,
  renew,
  type Rights,
  type Subject,
  type Token,
  type World
} from "./World.js"

interface Call {
  readonly world: World
  readonly request: Request
  readonly now: number
  readonly caller: Token
}

/** `request` is what comes after `/v1`. */
export const handle = (world: World, request: Request, now: number, caller: Token | undefined): Reply => {
  // its signature is all that an upload shows
  if (request.segments[0] === "blobs") return upload(world, request, now)
  if (caller === undefined) return failure(world, 401, "Invalid authorization token: missing, unknown or expired")
  const found = match(routes, request.method, request.segments)
  if (found._tag === "NotFound") return failure(world, 404, "Not found")
  if (found._tag === "MethodNotAllowed") return failure(world, 405, "Method not allowed")
  const call: Call = { world, request, now, caller }
  try {
    if (
      request.segments[0] === "organizations" && (found.parameters[0] ?? world.organizationId) !== world.organizationId
    ) {
      return failure(world, 404, "Organization not found")
    }
    return found.route.handle(call, ...found.parameters)
  } catch (error) {
    if (error instanceof Halt) return error.reply
    throw error
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// organization and workspace

const stamps = ({ world }: Call) => ({ createdAt: isoTime(world.startedAt), updatedAt: isoTime(world.startedAt) })

const owner: Subject & { readonly username: string } = {
  id: "cowner0000000000000000000",
  subjectType: "USER",
  username: "owner@example.org"
}

const organizationJson = (call: Call) => ({
  id: call.world.organizationId,
  name: "Emulated",
  product: "HOSTED",
  status: "ACTIVE",
  paymentMethod: "CREDIT_CARD",
  productPlans: [{ productPlanName: "TEAM", validFrom: isoTime(call.world.startedAt) }],
  allowEnhancedSupportAccess: false,
  hasAllowedIpAddressRanges: false,
  isBlockedEnableAiFeatures: false,
  isScimEnabled: false,
  shouldEnforceDedicatedClusters: false,
  ...stamps(call),
  createdBy: owner,
  updatedBy: owner
})

const workspaceJson = (call: Call) => ({
  id: call.world.workspaceId,
  name: "Emulated",
  description: "",
  organizationId: call.world.organizationId,
  organizationName: "Emulated",
  cicdEnforcedDefault: false,
  ...stamps(call),
  createdBy: owner,
  updatedBy: owner
})

const getWorkspace = (call: Call, _organization: string, workspaceId: string): Reply =>
  workspaceId === call.world.workspaceId
    ? json(200, workspaceJson(call))
    : failure(call.world, 404, "Workspace not found")

/** Tokens are nobody's: whoever asks is shown their owner. */
const self = (call: Call): Reply => {
  const { createdAt, updatedAt } = stamps(call)
  const { id, username } = owner
  return json(200, { id, username, fullName: "Emulated", avatarUrl: "", status: "ACTIVE", createdAt, updatedAt })
}

const range = <A>(floor: A, standard: A, ceiling: A) => ({ floor, default: standard, ceiling })

const options = ({ world }: Call): Reply =>
  json(200, {
    executors: ["CELERY", "KUBERNETES", "ASTRO"],
    resourceQuotas: {
      defaultPodSize: { cpu: range("0.25", "0.25", "1"), memory: range("0.5Gi", "0.5Gi", "2Gi") },
      resourceQuota: { cpu: range("1", "10", "100"), memory: range("2Gi", "20Gi", "200Gi") }
    },
    runtimeReleases: world.runtimes.map(({ airflowVersion, version }) => ({
      version,
      airflowVersion,
      channel: "stable",
      releaseDate: isoTime(world.startedAt),
      airflowDatabaseMigration: false,
      stellarDatabaseMigration: false
    })),
    schedulerMachines: schedulerSizes.map((name) => ({ name, spec: { cpu: "1", memory: "2Gi" } })),
    workerMachines: [{ name: "A5", concurrency: range(1, 5, 15), spec: { cpu: "1", memory: "2Gi", concurrency: 5 } }],
    workerQueues: { minWorkers: range(0, 0, 20), maxWorkers: range(1, 10, 200), workerConcurrency: range(1, 5, 64) },
    workloadIdentityOptions: []
  })

const clusterOptions = ({ world }: Call): Reply =>
  json(
    200,
    [...new Set(world.regions.map((region) => region.provider))].map((provider) => ({
      provider,
      regions: world.regions.filter((region) => region.provider === provider).map(({ name }) => ({ name }))
    }))
  )

const schedulerSizes = ["SMALL", "MEDIUM", "LARGE", "EXTRA_LARGE"]

// ---------------------------------------------------------------------------------------------------------------------
// deployments

const deploymentJson = (call: Call, deployment: Deployment) => {
  const { now, world } = call
  const { config, facts, runtime } = deployment
  const path = pathOf(deployment)
  const api = `${world.url}/${path}/api/${runtime.airflowVersion.startsWith("2.") ? "v1" : "v2"}`
  const status = Power.phaseAt(phasesOf(world, deployment), now).status
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
      hibernationSpec: { schedules: [], ...(override === null ? {} : { override: overrideJson(override, now) }) }
    },
    scalingStatus: { hibernationStatus: { isHibernating: status === "HIBERNATING" } },
    webServerUrl: `${world.url}/${path}`,
    webServerAirflowApiUrl: api,
    webServerIngressHostname: `${world.url.replace("http://", "")}/${path}`,
    webServerCpu: "0.5",
    webServerMemory: "1.5Gi",
    webServerReplicas: 1,
    apiUrl: api,
    uiUrl: `${world.url}/${path}`,
    externalIPs: [],
    createdAt: isoTime(facts.createdAt),
    updatedAt: isoTime(deployment.updatedAt),
    createdBy: deployment.createdBy,
    updatedBy: deployment.updatedBy
  }
}

const reasons: Record<Power.Status, string> = {
  CREATING: "Deployment is being created",
  DEPLOYING: "Deployment is rolling out",
  HEALTHY: "Successfully Deployed",
  HIBERNATING: "Deployment is hibernating"
}

const overrideJson = (override: Power.Override, now: number) => ({
  isActive: override.isHibernating !== null && (override.until === null || override.until > now),
  isHibernating: override.isHibernating,
  ...(override.until === null ? {} : { overrideUntil: isoTime(override.until) })
})

const isVisible = ({ caller }: Call, deployment: Deployment): boolean =>
  caller.scope !== "DEPLOYMENT" || caller.entityId === deployment.id

const getDeployment = (call: Call, id: string): Deployment => {
  const found = liveDeployments(call.world).find((deployment) => deployment.id === id)
  if (found !== undefined && isVisible(call, found)) return found
  throw new Halt(failure(call.world, 404, "Deployment not found"))
}

const listDeployments = (call: Call): Reply => {
  const { query } = call.request
  const only = (name: string, value: string) => !query.has(name) || query.getAll(name).includes(value)
  const found = liveDeployments(call.world).filter((deployment) =>
    isVisible(call, deployment) &&
    only("deploymentIds", deployment.id) && only("names", deployment.name) &&
    only("workspaceIds", call.world.workspaceId)
  )
  return page(call, "deployments", found.map((deployment) => deploymentJson(call, deployment)))
}

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
const configurable = [...Object.keys(defaults), "cloudProvider", "region", "workerQueues", "workloadIdentity"]

const createDeployment = (call: Call): Reply => {
  const { caller, now, world } = call
  requireRights(call, "owner", "operator")
  const body = readBody(call)
  requireFields(call, body, ["name", "workspaceId"])
  const name = String(body.name)
  if (body.workspaceId !== world.workspaceId) return failure(world, 404, "Workspace not found")
  if (liveDeployments(world).some((deployment) => deployment.name === name)) {
    return failure(world, 400, `Invalid request: Deployment name '${name}' already exists in this workspace`)
  }
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
  if (liveDeployments(world).length >= world.maxDeployments) {
    return failure(
      world,
      400,
      `Invalid request: Deployment quota exceeded, the maximum number of deployments is ${world.maxDeployments}`
    )
  }
  const createdBy = subjectOf(caller)
  const deployment: Deployment = {
    id: world.ids.id(),
    createdBy,
    namespace: `${world.ids.word()}-${world.ids.word()}-${world.ids.digits(4)}`,
    name,
    description: typeof body.description === "string" ? body.description : "",
    config: {
      ...defaults,
      workerQueues: [defaultQueue(world)],
      ...pick(body, configurable),
      cloudProvider: region.provider,
      region: region.name
    },
    environmentVariables: readVariables(call, body, []),
    runtime,
    facts: {
      createdAt: now,
      neverHealthy: world.neverHealthy,
      overrides: readOverrides(call, body) ?? [],
      updates: []
    },
    updatedAt: now,
    updatedBy: createdBy,
    deletedAt: null,
    airflow: emptyMetadata()
  }
  world.deployments.push(deployment)
  return json(200, deploymentJson(call, deployment))
}

const defaultQueue = (world: World) => ({
  id: world.ids.id(),
  name: "default",
  isDefault: true,
  minWorkerCount: 0,
  maxWorkerCount: 10,
  workerConcurrency: 5,
  astroMachine: "A5",
  podCpu: "1",
  podMemory: "2Gi",
  podEphemeralStorage: "10Gi"
})

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
  if (isDevelopmentMode && body.schedulerSize !== undefined && body.schedulerSize !== "SMALL") {
    throw new Halt(invalid(call, "schedulerSize", "Development mode needs scheduler size SMALL"))
  }
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

/** The override in a `scalingSpec`; `undefined` where none was sent, which keeps the old one. */
const readOverrides = (call: Call, body: Json): ReadonlyArray<Power.Override> | undefined => {
  if (!isObject(body.scalingSpec)) return undefined
  const spec = body.scalingSpec.hibernationSpec
  const override = isObject(spec) && isObject(spec.override) ? spec.override : {}
  return [readOverride(call, { isHibernating: null, ...override })]
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

const updateDeployment = (call: Call, _organization: string, id: string): Reply => {
  const { caller, now } = call
  const deployment = getDeployment(call, id)
  const body = readBody(call)
  requireFields(call, body, ["type", "name", "workspaceId", "executor", "schedulerSize", "environmentVariables"])
  requireFields(call, body, ["isCicdEnforced", "isDagDeployEnabled", "isHighAvailability"])
  const isDevelopment = body.isDevelopmentMode ?? deployment.config.isDevelopmentMode
  if (isDevelopment === true && deployment.config.isDevelopmentMode !== true) {
    return invalid(call, "isDevelopmentMode", "Development mode can only be chosen at creation")
  }
  if (liveDeployments(call.world).some((other) => other !== deployment && other.name === body.name)) {
    const words = `Deployment name '${String(body.name)}' already exists in this workspace`
    return failure(call.world, 400, `Invalid request: ${words}`)
  }
  checkConfig(call, body, isDevelopment === true)
  const variables = readVariables(call, body, deployment.environmentVariables)
  const overrides = readOverrides(call, body)
  const config = { ...deployment.config, ...pick(body, configurable), type: "STANDARD" }
  const restarts = ["executor", "schedulerSize", "workerQueues"]
  if (
    JSON.stringify(variables) !== JSON.stringify(deployment.environmentVariables) ||
    JSON.stringify(pick(config, restarts)) !== JSON.stringify(pick(deployment.config, restarts))
  ) {
    deployment.facts.updates = [...deployment.facts.updates, now]
  }
  if (overrides !== undefined) deployment.facts.overrides = [...deployment.facts.overrides, ...overrides]
  deployment.name = String(body.name)
  if (typeof body.description === "string") deployment.description = body.description
  deployment.config = config
  deployment.environmentVariables = variables
  touch(deployment, caller, now)
  return json(200, deploymentJson(call, deployment))
}

const deleteDeployment = (call: Call, _organization: string, id: string): Reply => {
  const deployment = getDeployment(call, id)
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

const overrideHibernation = (call: Call, id: string, body: Json): Power.Override => {
  const deployment = getDeployment(call, id)
  if (deployment.config.isDevelopmentMode !== true) {
    const words = "Hibernation is only available for Deployments in development mode"
    throw new Halt(failure(call.world, 400, `Invalid request: ${words}`))
  }
  const override = readOverride(call, body)
  deployment.facts.overrides = [...deployment.facts.overrides, override]
  touch(deployment, call.caller, call.now)
  return override
}

/** Airflow's parts write none here. */
const logs = (call: Call, _organization: string, id: string): Reply => {
  getDeployment(call, id)
  const { query } = call.request
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
// deploys of DAGs: what is uploaded is counted and thrown away; a deployment's DAGs are the ones that were given as data

interface Deploy {
  readonly id: string
  readonly deploymentId: string
  readonly description: string
  readonly git: unknown
  readonly signature: string
  readonly createdAt: number
  readonly createdBy: Subject
  /** Of the last whole upload. */
  uploaded: string | null
  /** What is in force, once it is finalized. */
  version: string | null
}

const deploys = new WeakMap<World, Array<Deploy>>()
const deploysOf = (world: World): Array<Deploy> => {
  const known = deploys.get(world) ?? []
  deploys.set(world, known)
  return known
}

const deployJson = ({ world }: Call, deployment: Deployment, deploy: Deploy) => {
  const dagsUploadUrl = `${world.url}/v1/blobs/${deploy.id}?sv=1&sig=${deploy.signature}`
  return {
    id: deploy.id,
    deploymentId: deploy.deploymentId,
    type: "DAG_ONLY",
    status: deploy.version === null ? "INITIALIZED" : "DEPLOYED",
    description: deploy.description,
    ...(isObject(deploy.git) ? { git: deploy.git } : {}),
    imageRepository: `images.astronomer.cloud/baseimages/${deployment.id}`,
    imageTag: deployment.runtime.version,
    airflowVersion: deployment.runtime.airflowVersion,
    astroRuntimeVersion: deployment.runtime.version,
    isDagDeployEnabled: deployment.config.isDagDeployEnabled === true,
    dagsUploadUrl,
    bundleUploadUrl: dagsUploadUrl,
    ...(deploy.version === null ? {} : { dagTarballVersion: deploy.version }),
    createdAt: isoTime(deploy.createdAt),
    createdBySubject: deploy.createdBy
  }
}

const listDeploys = (call: Call, _organization: string, id: string): Reply => {
  const deployment = getDeployment(call, id)
  const found = deploysOf(call.world).filter(({ deploymentId }) => deploymentId === id).reverse()
  return page(call, "deploys", found.map((deploy) => deployJson(call, deployment, deploy)))
}

const createDeploy = (call: Call, _organization: string, id: string): Reply => {
  const { caller, now, world } = call
  const deployment = getDeployment(call, id)
  const { description, git, type } = readBody(call)
  if (type !== "DAG_ONLY") return invalid(call, "type", `Deploy type '${String(type)}' is not offered`)
  if (Power.phaseAt(phasesOf(world, deployment), now).status === "HIBERNATING") {
    return failure(world, 400, "Deploy is blocked because Deployment is in HIBERNATING state")
  }
  const deploy: Deploy = {
    id: world.ids.id(),
    deploymentId: id,
    description: typeof description === "string" ? description : "",
    git,
    signature: world.ids.text(32),
    createdAt: now,
    createdBy: subjectOf(caller),
    uploaded: null,
    version: null
  }
  deploysOf(world).push(deploy)
  return json(200, deployJson(call, deployment, deploy))
}

const withDeploy = (change: (call: Call, deploy: Deploy) => void) =>
(
  call: Call,
  _organization: string,
  id: string,
  deployId: string
) => {
  const deployment = getDeployment(call, id)
  const deploy = deploysOf(call.world).find((one) => one.id === deployId && one.deploymentId === id)
  if (deploy === undefined) return failure(call.world, 404, "Deploy not found")
  change(call, deploy)
  return json(200, deployJson(call, deployment, deploy))
}

const finalizeDeploy = (call: Call, deploy: Deploy) => {
  const { dagTarballVersion } = readBody(call)
  if (deploy.uploaded === null || dagTarballVersion !== deploy.uploaded) {
    throw new Halt(invalid(call, "dagTarballVersion", "There is no upload of this version"))
  }
  deploy.version = deploy.uploaded
}

/** Azure's storage, as far as a deploy needs it: one PUT, or blocks and their list. */
const upload = (world: World, { method, query, segments }: Request, now: number): Reply => {
  const deploy = deploysOf(world).find(({ id }) => id === segments[1])
  if (method !== "PUT") return failure(world, 405, "Method not allowed")
  if (deploy === undefined || query.get("sig") !== deploy.signature) {
    return failure(world, 403, "Signature did not match")
  }
  const headers = { "x-ms-request-id": world.ids.id(), etag: `"0x${world.ids.digits(8)}"` }
  if (query.get("comp") === "block") return reply(201, "application/xml", "", headers)
  // 100 ns each, as Azure counts
  deploy.uploaded = isoTime(now).replace("Z", `${world.ids.digits(4)}Z`)
  return reply(201, "application/xml", "", {
    ...headers,
    "x-ms-version-id": deploy.uploaded,
    "last-modified": new Date(now).toUTCString()
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// API tokens

const tokenJson = (token: Token, value?: string) => ({
  id: token.id,
  name: token.name,
  description: token.description,
  shortToken: `${token.value.slice(0, 8)}...`,
  scope: token.scope,
  kind: "STANDARD",
  startAt: isoTime(token.createdAt),
  ...(token.expiresAt === null ? {} : { endAt: isoTime(token.expiresAt) }),
  ...(token.expiryPeriodInDays === null ? {} : { expiryPeriodInDays: token.expiryPeriodInDays }),
  createdAt: isoTime(token.createdAt),
  updatedAt: isoTime(token.createdAt),
  createdBy: token.createdBy,
  updatedBy: token.createdBy,
  roles: [{ entityId: token.entityId, entityType: token.scope, role: token.role }],
  ...(value === undefined ? {} : { token: value })
})

const rightsOf: Record<string, { readonly scope: Token["scope"]; readonly rights: Rights }> = {
  ORGANIZATION_OWNER: { scope: "ORGANIZATION", rights: "owner" },
  WORKSPACE_OWNER: { scope: "WORKSPACE", rights: "owner" },
  WORKSPACE_OPERATOR: { scope: "WORKSPACE", rights: "operator" },
  DEPLOYMENT_ADMIN: { scope: "DEPLOYMENT", rights: "deployment" }
}

const isTokenVisible = ({ caller }: Call, token: Token): boolean =>
  token.deletedAt === null && (caller.scope !== "DEPLOYMENT" || token.entityId === caller.entityId)

const listTokens = (call: Call): Reply => {
  const { query } = call.request
  const deploymentId = query.get("deploymentId")
  const workspaceId = query.get("workspaceId")
  if (deploymentId !== null) getDeployment(call, deploymentId)
  const found = [...call.world.tokens.values()].filter((token) =>
    isTokenVisible(call, token) &&
    (deploymentId === null || token.entityId === deploymentId) &&
    (workspaceId === null || (token.scope === "WORKSPACE" && token.entityId === workspaceId))
  )
  return page(call, "tokens", found.map((token) => tokenJson(token)))
}

const createToken = (call: Call): Reply => {
  const { caller, now, world } = call
  requireRights(call, "owner")
  const body = readBody(call)
  requireFields(call, body, ["name", "role", "scope"])
  const offered = rightsOf[String(body.role)]
  if (offered === undefined || offered.scope !== body.scope) {
    return invalid(call, "role", `Role '${String(body.role)}' does not exist for scope '${String(body.scope)}'`)
  }
  const days = body.tokenExpiryPeriodInDays
  if (days !== undefined && !(typeof days === "number" && days >= 1 && days <= 3650)) {
    return invalid(call, "tokenExpiryPeriodInDays", "tokenExpiryPeriodInDays must be between 1 and 3650")
  }
  if (offered.scope !== "ORGANIZATION") requireFields(call, body, ["entityId"])
  const entityId = offered.scope === "ORGANIZATION" ? world.organizationId : String(body.entityId)
  if (offered.scope === "DEPLOYMENT") getDeployment(call, entityId)
  if (offered.scope === "WORKSPACE" && entityId !== world.workspaceId) return failure(world, 404, "Workspace not found")
  const token = mint(world, now, {
    name: String(body.name),
    description: typeof body.description === "string" ? body.description : "",
    scope: offered.scope,
    entityId,
    role: String(body.role),
    rights: offered.rights,
    expiryPeriodInDays: days ?? null,
    createdBy: subjectOf(caller)
  })
  return json(200, tokenJson(token, token.value))
}

const getToken = (call: Call, id: string): Token => {
  const token = call.world.tokens.get(id)
  if (token !== undefined && isTokenVisible(call, token)) return token
  throw new Halt(failure(call.world, 404, "API token not found"))
}

const rotateToken = (call: Call, _organization: string, id: string): Reply => {
  requireRights(call, "owner")
  const token = getToken(call, id)
  renew(call.world, call.now, token)
  return json(200, tokenJson(token, token.value))
}

const deleteToken = (call: Call, _organization: string, id: string): Reply => {
  requireRights(call, "owner")
  getToken(call, id).deletedAt = call.now
  return noContent()
}

// ---------------------------------------------------------------------------------------------------------------------
// the table

const item = "organizations/:o/deployments/:d"

const routes = [
  route<Call>("GET organizations", (call) => page(call, "organizations", [organizationJson(call)])),
  route<Call>("GET organizations/:o", (call) => json(200, organizationJson(call))),
  route<Call>("GET organizations/:o/workspaces", (call) => page(call, "workspaces", [workspaceJson(call)])),
  route<Call>("GET organizations/:o/workspaces/:w", getWorkspace),
  route<Call>("GET organizations/:o/deployment-options", options),
  route<Call>("GET organizations/:o/cluster-options", clusterOptions),
  route<Call>("GET organizations/:o/deployments", listDeployments),
  route<Call>("POST organizations/:o/deployments", createDeployment),
  route<Call>(`GET ${item}`, (call, _, id) => json(200, deploymentJson(call, getDeployment(call, id)))),
  route<Call>(`POST ${item}`, updateDeployment),
  route<Call>(`DELETE ${item}`, deleteDeployment),
  route<Call>(
    `POST ${item}/hibernation-override`,
    (call, _, id) => json(200, overrideJson(overrideHibernation(call, id, readBody(call)), call.now))
  ),
  route<Call>(`DELETE ${item}/hibernation-override`, (call, _, id) => {
    overrideHibernation(call, id, { isHibernating: null })
    return noContent()
  }),
  route<Call>(`GET ${item}/logs`, logs),
  route<Call>(`GET ${item}/deploys`, listDeploys),
  route<Call>(`POST ${item}/deploys`, createDeploy),
  route<Call>(`GET ${item}/deploys/:y`, withDeploy(() => {})),
  route<Call>(`POST ${item}/deploys/:y/finalize`, withDeploy(finalizeDeploy)),
  route<Call>("GET users/self", self),
  route<Call>("GET organizations/:o/tokens", listTokens),
  route<Call>("POST organizations/:o/tokens", createToken),
  route<Call>("GET organizations/:o/tokens/:t", (call, _, id) => json(200, tokenJson(getToken(call, id)))),
  route<Call>("DELETE organizations/:o/tokens/:t", deleteToken),
  route<Call>("POST organizations/:o/tokens/:t/rotate", rotateToken)
]

// ---------------------------------------------------------------------------------------------------------------------
// answers

const failure = (world: World, statusCode: number, message: string, fieldErrors?: ReadonlyArray<Json>): Reply =>
  json(statusCode, {
    message,
    requestId: world.ids.id(),
    statusCode,
    ...(fieldErrors === undefined ? {} : { fieldErrors })
  })

const invalid = ({ world }: Call, field: string, message: string): Reply =>
  failure(world, 400, `Invalid request: ${message}`, [{ field, code: "invalid", message }])

const requireRights = (call: Call, ...allowed: ReadonlyArray<Rights>) => {
  if (!allowed.includes(call.caller.rights)) {
    throw new Halt(failure(call.world, 403, "Insufficient permissions to perform this operation"))
  }
}

const readBody = (call: Call): Json => {
  const body = parseJson(call.request.body)
  if (isObject(body)) return body
  throw new Halt(failure(call.world, 400, "Invalid request: the body is not a JSON object"))
}

const requireFields = (call: Call, body: Json, names: ReadonlyArray<string>) => {
  const missing = names.filter((name) => body[name] === undefined || body[name] === null || body[name] === "")
  if (missing.length === 0) return
  const fieldErrors = missing.map((field) => ({ field, code: "required", message: `${field} is required` }))
  throw new Halt(failure(call.world, 400, `Invalid request: ${missing.join(", ")} is required`, fieldErrors))
}

const pick = (body: Json, names: ReadonlyArray<string>): Json =>
  Object.fromEntries(
    names.filter((name) => body[name] !== undefined && body[name] !== null).map((name) => [name, body[name]])
  )

const subjectOf = (token: Token): Subject => ({ id: token.id, subjectType: "SERVICEKEY", apiTokenName: token.name })

const page = (call: Call, name: string, all: ReadonlyArray<object>): Reply => {
  const { query } = call.request
  const limit = Number(query.get("limit") ?? 20)
  const offset = Number(query.get("offset") ?? 0)
  if (!(limit >= 0 && limit <= 1000)) return invalid(call, "limit", "limit must be between 0 and 1000")
  if (!(offset >= 0)) return invalid(call, "offset", "offset must not be negative")
  const sorts = query.getAll("sorts").map((sort) => sort.split(":"))
  const value = (entry: object, field: string) => String((entry as Json)[field] ?? "")
  const sorted = [...all].sort((a, b) => {
    for (const [field = "", direction] of sorts) {
      const [left, right] = [value(a, field), value(b, field)]
      if (left !== right) return (left < right ? -1 : 1) * (direction === "desc" ? -1 : 1)
    }
    return 0
  })
  return json(200, { [name]: sorted.slice(offset, offset + limit), limit, offset, totalCount: all.length })
}
