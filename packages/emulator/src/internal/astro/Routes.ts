/**
 * Astro's public API as tables of routes: version 1 (`/v1`), and what astro CLIs up to 1.42 ask of those before it, over the
 * same deployments and tokens.
 */
import { below, Halt, match, type Reply, type Request, type Route, route } from "../Http.js"
import type { Token, World } from "../World.js"
import * as Account from "./Account.js"
import { type Api, type Call, failure } from "./Api.js"
import * as Deployments from "./Deployments.js"
import * as Deploys from "./Deploys.js"
import * as RateLimits from "./RateLimits.js"
import * as Tokens from "./Tokens.js"

const bases: ReadonlyArray<readonly [Api, ReadonlyArray<string>]> = [
  ["v1", ["v1"]],
  ["platform", ["platform", "v1beta1"]],
  ["iam", ["iam", "v1beta1"]],
  ["v1alpha1", ["v1alpha1"]]
]

/** Which of Astro's APIs a request is for, and the request as that one sees it. */
export const locate = (request: Request): readonly [Api, Request] | undefined => {
  const found = bases.find(([, base]) => base.every((segment, index) => request.segments[index] === segment))
  return found === undefined ? undefined : [found[0], below(request, found[1].length)]
}

export const handle = (
  world: World,
  [api, request]: readonly [Api, Request],
  now: number,
  caller: Token | undefined
): Reply => {
  // its signature is all that an upload shows
  if (request.segments[0] === "blobs") return Deploys.upload(world, request, now)
  if (caller === undefined) return failure(world, 401, "Invalid authorization token: missing, unknown or expired")
  const limited = RateLimits.refuse(world, caller, request.method, now)
  if (limited !== undefined) return limited
  const found = match(routes[api], request.method, request.segments)
  if (found._tag === "NotFound") return failure(world, 404, "Not found")
  if (found._tag === "MethodNotAllowed") return failure(world, 405, "Method not allowed")
  const [asked] = found.parameters
  if (asked !== undefined && (asked !== world.organizationId || world.organization === "INVISIBLE")) {
    return failure(world, 403, `organization with id ${asked} not found`)
  }
  try {
    return found.route.handle({ world, request, now, caller, isV1: api === "v1" }, ...found.parameters)
  } catch (error) {
    if (error instanceof Halt) return error.reply
    throw error
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// the tables

const organizations = "organizations"
const organization = "organizations/:o"
const deployments = `${organization}/deployments`
const deployment = `${deployments}/:d`
const tokens = `${organization}/tokens`
const token = `${tokens}/:t`

const platform: ReadonlyArray<Route<Call>> = [
  route<Call>(`GET ${organizations}`, Account.listOrganizations),
  route<Call>(`GET ${organization}`, Account.getOrganization),
  route<Call>(`GET ${organization}/workspaces`, Account.listWorkspaces),
  route<Call>(`GET ${organization}/workspaces/:w`, Account.getWorkspace),
  route<Call>(`GET ${organization}/deployment-options`, Account.deploymentOptions),
  route<Call>(`GET ${organization}/cluster-options`, Account.clusterOptions),
  route<Call>(`GET ${organization}/clusters`, Account.listClusters),
  route<Call>(`GET ${organization}/clusters/:c`, Account.getCluster),
  route<Call>(`GET ${deployments}`, Deployments.listDeployments),
  route<Call>(`POST ${deployments}`, Deployments.createDeployment),
  route<Call>(`GET ${deployment}`, Deployments.readDeployment),
  route<Call>(`POST ${deployment}`, Deployments.updateDeployment),
  route<Call>(`DELETE ${deployment}`, Deployments.deleteDeployment),
  route<Call>(`POST ${deployment}/hibernation-override`, Deployments.overrideHibernation),
  route<Call>(`DELETE ${deployment}/hibernation-override`, Deployments.removeOverride),
  route<Call>(`GET ${deployment}/deploys`, Deploys.listDeploys),
  route<Call>(`POST ${deployment}/deploys`, Deploys.createDeploy),
  route<Call>(`GET ${deployment}/deploys/:y`, Deploys.getDeploy),
  route<Call>(`POST ${deployment}/deploys/:y/finalize`, Deploys.finalizeDeploy)
]

const iam: ReadonlyArray<Route<Call>> = [
  route<Call>(`GET ${tokens}`, Tokens.listTokens),
  route<Call>(`POST ${tokens}`, Tokens.createToken),
  route<Call>(`GET ${token}`, Tokens.getToken),
  route<Call>(`POST ${token}`, Tokens.updateToken),
  route<Call>(`DELETE ${token}`, (call, _, id) => Tokens.deleteToken(call, id)),
  route<Call>(`POST ${token}/roles`, Tokens.updateRoles),
  route<Call>(`POST ${token}/rotate`, (call, _, id) => Tokens.rotateToken(call, id))
]

const beside: ReadonlyArray<Route<Call>> = [
  route<Call>("GET users/self", Account.self),
  route<Call>(`GET ${deployment}/logs`, Deployments.logs)
]

export const routes: Readonly<Record<Api, ReadonlyArray<Route<Call>>>> = {
  v1: [...platform, ...iam, ...beside],
  platform,
  iam,
  v1alpha1: [
    ...beside,
    route<Call>("GET options/cluster", Account.clusterOptions),
    route<Call>(`GET ${organization}/workspaces`, Account.listWorkspaces),
    route<Call>(`GET ${organization}/deployment-options`, Account.deploymentOptions),
    route<Call>(`GET ${deployment}/api-tokens`, Tokens.listDeploymentTokens),
    route<Call>(`POST ${deployment}/api-tokens`, Tokens.createDeploymentToken),
    route<Call>(`DELETE ${deployment}/api-tokens/:t`, (call, _, __, id) => Tokens.deleteToken(call, id)),
    route<Call>(`POST ${deployment}/api-tokens/:t/rotate`, (call, _, __, id) => Tokens.rotateToken(call, id))
  ]
}
