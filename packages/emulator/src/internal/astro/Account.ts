/** The organization, its workspace, and what Astro offers them: runtimes, regions and machines. */
import { json, type Response } from "../Http.js"
import { isoTime } from "../World.js"
import { type Call, failure, invalid, page, timestamps } from "./Api.js"

const owner = {
  id: "cowner0000000000000000000",
  subjectType: "USER",
  username: "owner@example.org"
} as const

const organizationJson = (call: Call) => ({
  id: call.world.organizationId,
  name: "Emulated",
  product: "HOSTED",
  status: call.world.organization,
  paymentMethod: "CREDIT_CARD",
  ...(call.api === "v1"
    ? {
      productPlans: [{
        astronomerProduct: "ASTRO",
        organizationId: call.world.organizationId,
        productPlanId: "cplan00000000000000000000",
        productPlanName: "TEAM"
      }],
      allowEnhancedSupportAccess: false,
      hasAllowedIpAddressRanges: false,
      isBlockedEnableAiFeatures: false,
      isScimEnabled: false,
      shouldEnforceDedicatedClusters: false
    }
    : { isScimEnabled: false, supportPlan: "STANDARD" }),
  ...timestamps(call),
  createdBy: owner,
  updatedBy: owner
})

export const listOrganizations = (call: Call): Response =>
  page(call, "organizations", call.world.organization === "INVISIBLE" ? [] : [organizationJson(call)])

export const getOrganization = (call: Call): Response => json(200, organizationJson(call))

const workspaceJson = (call: Call) => ({
  id: call.world.workspaceId,
  name: "Emulated",
  description: "",
  organizationId: call.world.organizationId,
  organizationName: "Emulated",
  cicdEnforcedDefault: false,
  ...timestamps(call),
  createdBy: owner,
  updatedBy: owner
})

export const listWorkspaces = (call: Call): Response => page(call, "workspaces", [workspaceJson(call)])

export const getWorkspace = (call: Call, _organization: string, workspaceId: string): Response =>
  workspaceId === call.world.workspaceId
    ? json(200, workspaceJson(call))
    : failure(call.world, 404, "Workspace not found")

/** A token belongs to no user, so that every caller gets the owner of the organization. */
export const getSelf = (call: Call): Response => {
  const { id, username } = owner
  return json(200, { id, username, fullName: "Emulated", avatarUrl: "", status: "ACTIVE", ...timestamps(call) })
}

const range = <A>(floor: A, standard: A, ceiling: A) => ({ floor, default: standard, ceiling })

const schedulerSizes = ["SMALL", "MEDIUM", "LARGE"]

export const getDeploymentOptions = ({ api, world }: Call): Response =>
  json(200, {
    executors: ["CELERY", "KUBERNETES", ...(api === "platform" ? [] : ["ASTRO"])],
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
    schedulerMachines: [...schedulerSizes, ...(api === "platform" ? [] : ["EXTRA_LARGE"])].map((name) => ({
      name,
      spec: { cpu: "1", memory: "2Gi" }
    })),
    workerMachines: [{ name: "A5", concurrency: range(1, 5, 15), spec: { cpu: "1", memory: "2Gi", concurrency: 5 } }],
    workerQueues: { minWorkers: range(0, 0, 20), maxWorkers: range(1, 10, 200), workerConcurrency: range(1, 5, 64) },
    workloadIdentityOptions: [],
    // the queue of a new deployment, for astro CLIs up to 1.42
    ...(api === "v1alpha1" ? { defaultValues: { schedulerSize: "SMALL", workerMachineName: "A5" } } : {})
  })

export const listClusterOptions = (call: Call): Response => {
  const { api, request: { query }, world } = call
  const type = query.get("type") ?? ""
  if (api !== "v1alpha1" && !["DEDICATED", "HYBRID"].includes(type)) {
    return invalid(call, "type", "type must be one of DEDICATED, HYBRID")
  }
  const machine = { name: "m6i.xlarge", cpu: 4, memory: "16Gi" }
  const wantedProvider = query.get("provider")?.toUpperCase()
  const providers = [...new Set(world.regions.map((region) => region.provider))]
  return json(
    200,
    providers.filter((provider) => wantedProvider === undefined || provider === wantedProvider).map((provider) => {
      const regions = world.regions.filter((region) => region.provider === provider).map(({ name }) => ({ name }))
      return {
        provider,
        regions,
        defaultRegion: regions[0],
        nodeInstances: [machine],
        defaultNodeInstance: machine,
        databaseInstances: [machine],
        defaultDatabaseInstance: machine,
        nodeCountMin: 0,
        nodeCountDefault: 10,
        nodeCountMax: 100,
        defaultVpcSubnetRange: "172.20.0.0/19"
      }
    })
  )
}

/** Standard deployments have no clusters of their own. */
export const listClusters = (call: Call): Response => page(call, "clusters", [])

export const getCluster = ({ world }: Call): Response => failure(world, 404, "Cluster not found")
