/**
 * Astro's public API: version 1 (`/v1`), and the parts of the APIs before it that astro CLIs up to 1.42 use. All of
 * them have the same deployments and tokens.
 */
import { catchHalt, match, type Request, type Response, type Route, route, withoutPrefix } from "../Http.js"
import type { Scope, Token, World } from "../World.js"
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

/** The API that a request is for, and the request with a path relative to that API. `undefined` if it is for none. */
export const locate = (request: Request): readonly [Api, Request] | undefined => {
  const found = bases.find(([, base]) => base.every((segment, index) => request.segments[index] === segment))
  return found === undefined ? undefined : [found[0], withoutPrefix(request, found[1].length)]
}

export const handle = (
  world: World,
  [api, request]: readonly [Api, Request],
  now: number,
  caller: Token | undefined
): Response => {
  // an upload has no token, only a signature
  if (request.segments[0] === "blobs") return Deploys.upload(world, request, now)
  if (caller === undefined) return failure(world, 401, "Invalid authorization token: missing, unknown or expired")
  const limited = RateLimits.refusal(world, caller, request.method, now)
  if (limited !== undefined) return limited
  const found = match(routes[api], request.method, request.segments)
  if (found._tag === "NotFound") return failure(world, 404, "Not found")
  if (found._tag === "MethodNotAllowed") return failure(world, 405, "Method not allowed")
  const [organizationId] = found.parameters
  if (
    organizationId !== undefined && (organizationId !== world.organizationId || world.organization === "INVISIBLE")
  ) {
    return failure(world, 403, `organization with id ${organizationId} not found`)
  }
  const call = { world, request, now, caller, api }
  return catchHalt(() => found.route.handle(call, ...found.parameters))
}

// ---------------------------------------------------------------------------------------------------------------------
// routes

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
  route<Call>(`GET ${organization}/deployment-options`, Account.getDeploymentOptions),
  route<Call>(`GET ${organization}/cluster-options`, Account.listClusterOptions),
  route<Call>(`GET ${organization}/clusters`, Account.listClusters),
  route<Call>(`GET ${organization}/clusters/:c`, Account.getCluster),
  route<Call>(`GET ${deployments}`, Deployments.listDeployments),
  route<Call>(`POST ${deployments}`, Deployments.createDeployment),
  route<Call>(`GET ${deployment}`, Deployments.getDeployment),
  route<Call>(`POST ${deployment}`, Deployments.updateDeployment),
  route<Call>(`DELETE ${deployment}`, Deployments.deleteDeployment),
  route<Call>(`POST ${deployment}/hibernation-override`, Deployments.overrideHibernation),
  route<Call>(`DELETE ${deployment}/hibernation-override`, Deployments.deleteOverride),
  route<Call>(`GET ${deployment}/deploys`, Deploys.listDeploys),
  route<Call>(`POST ${deployment}/deploys`, Deploys.createDeploy),
  route<Call>(`GET ${deployment}/deploys/:y`, Deploys.getDeploy),
  route<Call>(`POST ${deployment}/deploys/:y/finalize`, Deploys.finalizeDeploy)
]

const iam: ReadonlyArray<Route<Call>> = [
  route<Call>(`GET ${tokens}`, Tokens.listTokens),
  route<Call>(`POST ${tokens}`, Tokens.createToken),
  route<Call>(`GET ${token}`, (call, _, id) => Tokens.getToken(call, id)),
  route<Call>(`POST ${token}`, (call, _, id) => Tokens.updateToken(call, id)),
  route<Call>(`DELETE ${token}`, (call, _, id) => Tokens.deleteToken(call, id)),
  route<Call>(`POST ${token}/roles`, (call, _, id) => Tokens.updateRoles(call, id)),
  route<Call>(`POST ${token}/rotate`, (call, _, id) => Tokens.rotateToken(call, id))
]

const usersAndLogs: ReadonlyArray<Route<Call>> = [
  route<Call>("GET users/self", Account.getSelf),
  route<Call>(`GET ${deployment}/logs`, Deployments.listLogs)
]

/** The tokens of what the last parameter of `base` names. */
const tokensOf = (scope: Scope, base: string): ReadonlyArray<Route<Call>> => {
  const entityOf = (ids: ReadonlyArray<string>) => ids[base.split(":").length - 2] ?? ""
  const tokenOf = (ids: ReadonlyArray<string>) => ids.at(-1) ?? ""
  const [all, one] = [`${base}/api-tokens`, `${base}/api-tokens/:t`]
  return [
    route<Call>(`GET ${all}`, (call, ...ids) => Tokens.listTokensOf(call, scope, entityOf(ids))),
    route<Call>(`POST ${all}`, (call, ...ids) => Tokens.createTokenOf(call, scope, entityOf(ids))),
    route<Call>(`POST ${one}`, (call, ...ids) => Tokens.updateTokenOf(call, scope, entityOf(ids), tokenOf(ids))),
    route<Call>(`DELETE ${one}`, (call, ...ids) => Tokens.deleteTokenOf(call, entityOf(ids), tokenOf(ids))),
    route<Call>(`POST ${one}/rotate`, (call, ...ids) => Tokens.rotateTokenOf(call, entityOf(ids), tokenOf(ids)))
  ]
}

export const routes: Readonly<Record<Api, ReadonlyArray<Route<Call>>>> = {
  v1: [...platform, ...iam, ...usersAndLogs],
  platform,
  iam,
  v1alpha1: [
    ...usersAndLogs,
    route<Call>("GET options/cluster", Account.listClusterOptions),
    route<Call>(`GET ${organization}/workspaces`, Account.listWorkspaces),
    route<Call>(`GET ${organization}/deployment-options`, Account.getDeploymentOptions),
    ...tokensOf("ORGANIZATION", organization),
    ...tokensOf("WORKSPACE", `${organization}/workspaces/:w`),
    ...tokensOf("DEPLOYMENT", deployment)
  ]
}
