/** What the audit is made of: a record of each request, and what the world says at one moment. */
import { createHash } from "node:crypto"
import type { IncomingMessage } from "node:http"
import type * as AuditLog from "../AuditLog.js"
import * as Lifecycle from "../Lifecycle.js"
import { bearerToken } from "./Http.js"
import * as World from "./World.js"

/**
 * Records a request when the returned function is called with the time. That call returns another function, which sets
 * the status of the response once it is known.
 */
export const recorder = (
  world: World.World,
  { headers, method = "GET", url = "/" }: IncomingMessage,
  deployment: World.Deployment | undefined
) => {
  const request = {
    method,
    path: withoutSignature(url),
    token: tokenLabel(world, bearerToken(headers)),
    deploymentId: deployment?.id ?? null
  }
  return (at: number): (status: number) => void => {
    const record: AuditLog.RequestRecord = { ...request, at, status: 0 }
    const index = world.requests.push(record) - 1
    return (status) => {
      world.requests[index] = { ...record, status }
    }
  }
}

/** The path and the query without the parameters that prove a right to something. */
const withoutSignature = (target: string): string => {
  const [path = "", query] = target.split("?", 2)
  if (query === undefined) return path
  const kept = query.split("&").filter((part) => !/^(sig|signature|token|access_token|x-amz-signature)=/i.test(part))
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`
}

/** Identifies the caller without revealing the token's value. */
const tokenLabel = (world: World.World, value: string | undefined): string | null => {
  if (value === undefined) return null
  return world.tokenValues.get(value)?.id ??
    world.githubTokens.get(value)?.id ??
    `sha256:${createHash("sha256").update(value).digest("hex").slice(0, 8)}`
}

export const read = (world: World.World, now: number): AuditLog.Audit => {
  const issued = [...world.tokens.values()].filter((token) => token.scope === "DEPLOYMENT")
  const tokens = issued.filter((token) => token.deletedAt === null)
  const live = World.liveDeployments(world)
  return {
    requests: [...world.requests],
    states: world.deployments
      .flatMap((deployment) => statesOf(world, deployment, now))
      .sort((a, b) => a.at - b.at),
    deployments: live.map((deployment) => ({
      id: deployment.id,
      name: deployment.name,
      description: deployment.description,
      status: World.statusOf(world, deployment, now),
      hibernationRequested: isHibernationRequested(deployment, now),
      tokens: tokens.filter((token) => token.entityId === deployment.id).map(({ id, name }) => ({ id, name }))
    })),
    // a deployment that still hibernates but was requested to wake counts as awake
    awake: live.filter((deployment) => !isHibernationRequested(deployment, now)).map((deployment) => deployment.name),
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

const statesOf = (
  world: World.World,
  deployment: World.Deployment,
  now: number
): ReadonlyArray<AuditLog.StateRecord> => {
  const end = deployment.deletedAt ?? Infinity
  const states = World.phasesOf(world, deployment)
    .filter((phase) => phase.from <= now && phase.from < end)
    .map(({ from, status }): AuditLog.StateRecord => ({ at: from, deploymentId: deployment.id, status }))
  return end > now ? states : [...states, { at: end, deploymentId: deployment.id, status: "DELETED" }]
}

const isHibernationRequested = (deployment: World.Deployment, now: number): boolean =>
  Lifecycle.overrideAt(deployment.facts, now)?.isHibernating === true
