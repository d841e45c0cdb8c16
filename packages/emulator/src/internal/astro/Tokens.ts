/** API tokens of the organization, the workspace and the deployments. */
import { Halt, isObject, type Json, json, noContent, type Response } from "../Http.js"
import { isoTime, mintToken, renewToken, type Role, type Scope, type Token } from "../World.js"
import {
  type Api,
  type Call,
  failure,
  invalid,
  page,
  readBody,
  requireFields,
  requireLiveDeployment,
  requireRights,
  requireVisibleDeployment,
  subjectOf
} from "./Api.js"

const tokenJson = ({ api }: Call, token: Token, value?: string) => ({
  id: token.id,
  name: token.name,
  description: token.description,
  shortToken: `${token.value.slice(0, 8)}...`,
  [scopeField(api)]: token.scope,
  ...(api === "v1" ? { kind: "STANDARD" } : {}),
  startAt: isoTime(token.createdAt),
  ...(token.expiresAt === null ? {} : { endAt: isoTime(token.expiresAt) }),
  ...(token.expiryPeriodInDays === null ? {} : { expiryPeriodInDays: token.expiryPeriodInDays }),
  createdAt: isoTime(token.createdAt),
  updatedAt: isoTime(token.updatedAt),
  createdBy: token.createdBy,
  updatedBy: token.createdBy,
  roles: token.roles,
  ...(value === undefined ? {} : { token: value })
})

const scopeField = (api: Api) => api === "v1" ? "scope" : "type"

const rolesOf: Record<string, ReadonlyArray<string>> = {
  ORGANIZATION: ["ORGANIZATION_OWNER", "ORGANIZATION_BILLING_ADMIN", "ORGANIZATION_MEMBER"],
  WORKSPACE: [
    "WORKSPACE_OWNER",
    "WORKSPACE_OPERATOR",
    "WORKSPACE_AUTHOR",
    "WORKSPACE_MEMBER",
    "WORKSPACE_ACCESSOR"
  ],
  DEPLOYMENT: ["DEPLOYMENT_ADMIN"]
}

const isTokenVisible = ({ caller }: Call, token: Token): boolean =>
  token.deletedAt === null && (caller.scope !== "DEPLOYMENT" || token.entityId === caller.entityId)

const visibleTokens = (call: Call): ReadonlyArray<Token> =>
  [...call.world.tokens.values()].filter((token) => isTokenVisible(call, token))

const hasRoleOn = (token: Token, entityId: string) => token.roles.some((role) => role.entityId === entityId)

/** A filter by deployment or workspace selects the tokens with a role there, whatever they belong to. */
export const listTokens = (call: Call): Response => {
  const { query } = call.request
  const deploymentId = query.get("deploymentId")
  const workspaceId = query.get("workspaceId")
  const isOnlyOrganization = query.get("includeOnlyOrganizationTokens") === "true"
  if (deploymentId !== null) requireVisibleDeployment(call, deploymentId)
  const found = visibleTokens(call).filter((token) =>
    (deploymentId === null || hasRoleOn(token, deploymentId)) &&
    (workspaceId === null || hasRoleOn(token, workspaceId)) &&
    (!isOnlyOrganization || token.scope === "ORGANIZATION")
  )
  return page(call, "tokens", found.map((token) => tokenJson(call, token)))
}

/** The tokens with a role there, whatever they belong to. Filtered by what they belong to. */
export const listTokensOf = (call: Call, scope: Scope, entityId: string): Response => {
  checkEntity(call, scope, entityId)
  const types = call.request.query.getAll("tokenTypes")
  const found = visibleTokens(call).filter((token) =>
    hasRoleOn(token, entityId) && (types.length === 0 || types.includes(token.scope))
  )
  return page(call, "apiTokens", found.map((token) => tokenJson(call, token)))
}

export const createToken = (call: Call): Response => {
  requireRights(call, "owner")
  const body = readBody(call)
  const field = scopeField(call.api)
  requireFields(call, body, ["name", "role", field])
  return checkAndMint(call, String(body[field]), body)
}

export const createTokenOf = (call: Call, scope: Scope, entityId: string): Response => {
  requireRights(call, "owner")
  const body = readBody(call)
  requireFields(call, body, ["name", "role"])
  return checkAndMint(call, scope, { ...body, entityId })
}

/** Mints a token after checking its role, lifetime and entity. */
const checkAndMint = (call: Call, scope: string, body: Json): Response => {
  const { caller, now, world } = call
  if (rolesOf[scope]?.includes(String(body.role)) !== true) {
    return invalid(call, "role", `Role '${String(body.role)}' does not exist for scope '${scope}'`)
  }
  const days = body.tokenExpiryPeriodInDays
  if (days !== undefined && !(typeof days === "number" && days >= 1 && days <= 3650)) {
    return invalid(call, "tokenExpiryPeriodInDays", "tokenExpiryPeriodInDays must be between 1 and 3650")
  }
  if (scope !== "ORGANIZATION") requireFields(call, body, ["entityId"])
  const entityId = scope === "ORGANIZATION" ? world.organizationId : String(body.entityId)
  checkEntity(call, scope, entityId)
  const token = mintToken(world, now, {
    name: String(body.name),
    description: typeof body.description === "string" ? body.description : "",
    scope: scope as Scope,
    entityId,
    role: String(body.role),
    expiryPeriodInDays: days ?? null,
    createdBy: subjectOf(caller)
  })
  return json(200, tokenJson(call, token, token.value))
}

const checkEntity = (call: Call, entityType: string, entityId: string) => {
  if (entityType === "DEPLOYMENT") requireLiveDeployment(call, entityId)
  if (entityType === "WORKSPACE" && entityId !== call.world.workspaceId) {
    throw new Halt(failure(call.world, 404, "Workspace not found"))
  }
}

const requireToken = (call: Call, id: string): Token => {
  const token = call.world.tokens.get(id)
  if (token !== undefined && isTokenVisible(call, token)) return token
  throw new Halt(failure(call.world, 404, "API token not found"))
}

export const getToken = (call: Call, id: string): Response => json(200, tokenJson(call, requireToken(call, id)))

export const updateToken = (call: Call, id: string): Response => {
  requireRights(call, "owner")
  const token = requireToken(call, id)
  const body = readBody(call)
  requireFields(call, body, ["name"])
  rename(token, body)
  token.updatedAt = call.now
  return json(200, tokenJson(call, token))
}

const rename = (token: Token, { description, name }: Json) => {
  token.name = String(name)
  if (typeof description === "string") token.description = description
}

/** Also replaces the roles, if the request contains any. */
export const updateTokenOf = (call: Call, scope: Scope, entityId: string, id: string): Response => {
  requireRights(call, "owner")
  const token = requireTokenOf(call, entityId, id)
  const body = readBody(call)
  requireFields(call, body, ["name", ...(scope === "DEPLOYMENT" ? ["role"] : [])])
  const roles = rolesIn(scope, entityId, body).map((item) => readRole(call, item))
  if (roles.length > 0) token.roles = roles
  rename(token, body)
  token.updatedAt = call.now
  return json(200, tokenJson(call, token))
}

/** A deployment's token has a `role`, the others `roles`: one of their own, and lists of those elsewhere. */
const rolesIn = (scope: Scope, entityId: string, { role, roles }: Json): ReadonlyArray<Json> => {
  const named: Json = isObject(roles) ? roles : { deployment: role }
  return (["ORGANIZATION", "WORKSPACE", "DEPLOYMENT"] as const).flatMap((entityType) => {
    const given = named[entityType.toLowerCase()]
    if (Array.isArray(given)) return given.map((item: unknown) => ({ ...(isObject(item) ? item : {}), entityType }))
    return entityType === scope && given !== undefined ? [{ entityType, entityId, role: given }] : []
  })
}

/** A token with a role there. */
const requireTokenOf = (call: Call, entityId: string, id: string): Token => {
  const token = requireToken(call, id)
  if (hasRoleOn(token, entityId)) return token
  throw new Halt(failure(call.world, 404, "API token not found"))
}

/** The request contains the complete new list of roles. */
export const updateRoles = (call: Call, id: string): Response => {
  requireRights(call, "owner")
  const token = requireToken(call, id)
  const { roles } = readBody(call)
  if (!Array.isArray(roles) || roles.length === 0) return invalid(call, "roles", "roles must have at least one item")
  token.roles = roles.map((item) => readRole(call, item))
  token.updatedAt = call.now
  const on = (entityType: Scope) => token.roles.filter((role) => role.entityType === entityType)
  const [organization] = on("ORGANIZATION")
  return json(200, {
    ...(organization === undefined ? {} : { organizationRole: organization.role }),
    workspaceRoles: on("WORKSPACE").map(({ entityId, role }) => ({ workspaceId: entityId, role })),
    deploymentRoles: on("DEPLOYMENT").map(({ entityId, role }) => ({ deploymentId: entityId, role }))
  })
}

const readRole = (call: Call, item: unknown): Role => {
  const { entityId, entityType, role } = isObject(item) ? item : {}
  if (rolesOf[String(entityType)]?.includes(String(role)) !== true) {
    throw new Halt(invalid(call, "roles", `Role '${String(role)}' does not exist for '${String(entityType)}'`))
  }
  checkEntity(call, String(entityType), String(entityId))
  return { entityId: String(entityId), entityType: entityType as Scope, role: String(role) }
}

export const rotateToken = (call: Call, id: string): Response => {
  requireRights(call, "owner")
  const token = requireToken(call, id)
  renewToken(call.world, call.now, token)
  token.updatedAt = call.now
  return json(200, tokenJson(call, token, token.value))
}

export const deleteToken = (call: Call, id: string): Response => {
  requireRights(call, "owner")
  requireToken(call, id).deletedAt = call.now
  return noContent()
}

export const rotateTokenOf = (call: Call, entityId: string, id: string): Response =>
  rotateToken(call, requireTokenOf(call, entityId, id).id)

export const deleteTokenOf = (call: Call, entityId: string, id: string): Response =>
  deleteToken(call, requireTokenOf(call, entityId, id).id)
