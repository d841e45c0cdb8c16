/** Deploys of DAGs: what is uploaded is counted and thrown away; a deployment's DAGs are the ones that were given as data. */
import * as Power from "../../Power.js"
import { Halt, isObject, json, type Reply, reply, type Request } from "../Http.js"
import { type Deployment, isoTime, phasesOf, type Subject, type World } from "../World.js"
import {
  type Call,
  failure,
  getDeployment,
  invalid,
  page,
  readBody,
  requireRights,
  showDeployment,
  subjectOf
} from "./Api.js"

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

export const listDeploys = (call: Call, _organization: string, id: string): Reply => {
  const deployment = showDeployment(call, id)
  const found = deploysOf(call.world).filter(({ deploymentId }) => deploymentId === id).reverse()
  return page(call, "deploys", found.map((deploy) => deployJson(call, deployment, deploy)))
}

export const createDeploy = (call: Call, _organization: string, id: string): Reply => {
  const { caller, now, world } = call
  const deployment = getDeployment(call, id)
  requireRights(call, "author", deployment)
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

const findDeploy = (call: Call, deploymentId: string, id: string, otherwise = 404): Deploy => {
  const deploy = deploysOf(call.world).find((one) => one.id === id && one.deploymentId === deploymentId)
  if (deploy === undefined) throw new Halt(failure(call.world, otherwise, "Deploy not found"))
  return deploy
}

export const getDeploy = (call: Call, _organization: string, deploymentId: string, id: string): Reply =>
  json(200, deployJson(call, showDeployment(call, deploymentId), findDeploy(call, deploymentId, id)))

export const finalizeDeploy = (call: Call, _organization: string, deploymentId: string, id: string): Reply => {
  const deployment = getDeployment(call, deploymentId, 400)
  requireRights(call, "author", deployment)
  const deploy = findDeploy(call, deploymentId, id, 400)
  const { dagTarballVersion } = readBody(call)
  if (deploy.uploaded === null || dagTarballVersion !== deploy.uploaded) {
    return invalid(call, "dagTarballVersion", "There is no upload of this version")
  }
  deploy.version = deploy.uploaded
  deployment.dagVersions = [...deployment.dagVersions, deploy.version]
  deployment.facts.deploys = [...deployment.facts.deploys, call.now]
  return json(200, deployJson(call, deployment, deploy))
}

/** Azure's storage, as far as a deploy needs it: one PUT, or blocks and their list. */
export const upload = (world: World, { method, query, segments }: Request, now: number): Reply => {
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
