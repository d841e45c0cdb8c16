/** Deploys of DAGs. What is uploaded is thrown away: a deployment's DAGs are the ones that were given as data. */
import * as Lifecycle from "../../Lifecycle.js"
import { Halt, isObject, json, type Request, type Response, response } from "../Http.js"
import { type Deployment, isoTime, phasesOf, type Subject, type World } from "../World.js"
import {
  type Call,
  failure,
  invalid,
  page,
  readBody,
  requireLiveDeployment,
  requireRights,
  requireVisibleDeployment,
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
  /** The version of the last complete upload. */
  uploaded: string | null
  /** The version that was deployed, once the deploy is finalized. */
  version: string | null
}

const deploys = new WeakMap<World, Array<Deploy>>()
const deploysOf = (world: World): Array<Deploy> => {
  const known = deploys.get(world) ?? []
  deploys.set(world, known)
  return known
}

const deployJson = ({ api, world }: Call, deployment: Deployment, deploy: Deploy) => {
  const dagsUploadUrl = `${world.url}/v1/blobs/${deploy.id}?sv=1&sig=${deploy.signature}`
  return {
    id: deploy.id,
    deploymentId: deploy.deploymentId,
    type: "DAG_ONLY",
    status: deploy.version === null ? "INITIALIZED" : "DEPLOYED",
    description: deploy.description,
    ...(api === "v1" && isObject(deploy.git) ? { git: deploy.git } : {}),
    imageRepository: `images.astronomer.cloud/baseimages/${deployment.id}`,
    imageTag: deployment.runtime.version,
    airflowVersion: deployment.runtime.airflowVersion,
    astroRuntimeVersion: deployment.runtime.version,
    isDagDeployEnabled: deployment.config.isDagDeployEnabled === true,
    dagsUploadUrl,
    ...(api === "v1" ? { bundleUploadUrl: dagsUploadUrl } : {}),
    ...(deploy.version === null ? {} : { dagTarballVersion: deploy.version }),
    createdAt: isoTime(deploy.createdAt),
    createdBySubject: deploy.createdBy
  }
}

export const listDeploys = (call: Call, _organization: string, id: string): Response => {
  const deployment = requireVisibleDeployment(call, id)
  const found = deploysOf(call.world).filter(({ deploymentId }) => deploymentId === id).reverse()
  return page(call, "deploys", found.map((deploy) => deployJson(call, deployment, deploy)))
}

export const createDeploy = (call: Call, _organization: string, id: string): Response => {
  const { caller, now, world } = call
  const deployment = requireLiveDeployment(call, id)
  requireRights(call, "author", deployment)
  const { description, git, type } = readBody(call)
  if (type !== "DAG_ONLY") return invalid(call, "type", `Deploy type '${String(type)}' is not offered`)
  if (Lifecycle.phaseAt(phasesOf(world, deployment), now).status === "HIBERNATING") {
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

const requireDeploy = (call: Call, deploymentId: string, id: string, missingStatus = 404): Deploy => {
  const deploy = deploysOf(call.world).find((candidate) =>
    candidate.id === id && candidate.deploymentId === deploymentId
  )
  if (deploy === undefined) throw new Halt(failure(call.world, missingStatus, "Deploy not found"))
  return deploy
}

export const getDeploy = (call: Call, _organization: string, deploymentId: string, id: string): Response =>
  json(200, deployJson(call, requireVisibleDeployment(call, deploymentId), requireDeploy(call, deploymentId, id)))

export const finalizeDeploy = (call: Call, _organization: string, deploymentId: string, id: string): Response => {
  const deployment = requireLiveDeployment(call, deploymentId, 400)
  requireRights(call, "author", deployment)
  const deploy = requireDeploy(call, deploymentId, id, 400)
  const { dagTarballVersion } = readBody(call)
  if (deploy.uploaded === null || dagTarballVersion !== deploy.uploaded) {
    return invalid(call, "dagTarballVersion", "There is no upload of this version")
  }
  deploy.version = deploy.uploaded
  deployment.dagVersions = [...deployment.dagVersions, deploy.version]
  deployment.facts.deploys = [...deployment.facts.deploys, call.now]
  return json(200, deployJson(call, deployment, deploy))
}

/** The part of Azure's storage API that a deploy needs: one PUT, or several blocks followed by their list. */
export const upload = (world: World, { method, query, segments }: Request, now: number): Response => {
  const deploy = deploysOf(world).find(({ id }) => id === segments[1])
  if (method !== "PUT") return failure(world, 405, "Method not allowed")
  if (deploy === undefined || query.get("sig") !== deploy.signature) {
    return failure(world, 403, "Signature did not match")
  }
  const headers = { "x-ms-request-id": world.ids.id(), etag: `"0x${world.ids.digits(8)}"` }
  if (query.get("comp") === "block") return response(201, "application/xml", "", headers)
  // Azure's versions have a precision of 100 ns
  deploy.uploaded = isoTime(now).replace("Z", `${world.ids.digits(4)}Z`)
  return response(201, "application/xml", "", {
    ...headers,
    "x-ms-version-id": deploy.uploaded,
    "last-modified": new Date(now).toUTCString()
  })
}
