/** What all parts of Astro's API share: calls, responses, request bodies and rights. */
import { Halt, isObject, type Json, json, parseJson, type Request, type Response } from "../Http.js"
import { type Deployment, isoTime, liveDeployments, type Subject, type Token, type World } from "../World.js"

export interface Call {
  readonly world: World
  readonly request: Request
  readonly now: number
  readonly caller: Token
  readonly api: Api
}

/** Astro's APIs: version 1, and those before it, which astro CLIs up to 1.42 use. */
export type Api = "v1" | "platform" | "iam" | "v1alpha1"

// ---------------------------------------------------------------------------------------------------------------------
// responses

export const failure = (
  world: World,
  statusCode: number,
  message: string,
  fieldErrors?: ReadonlyArray<Json>
): Response =>
  json(statusCode, {
    message,
    requestId: world.ids.id(),
    statusCode,
    ...(fieldErrors === undefined ? {} : { fieldErrors })
  })

/** The fields are named in version 1 only. */
const invalidFields = ({ api, world }: Call, message: string, fieldErrors: ReadonlyArray<Json>): Response =>
  failure(world, 400, `Invalid request: ${message}`, api === "v1" ? fieldErrors : undefined)

export const invalid = (call: Call, field: string, message: string): Response =>
  invalidFields(call, message, [{ field, code: "invalid", message }])

export const page = (call: Call, name: string, all: ReadonlyArray<object>): Response => {
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

export const timestamps = ({ world }: Call) => ({
  createdAt: isoTime(world.startedAt),
  updatedAt: isoTime(world.startedAt)
})

// ---------------------------------------------------------------------------------------------------------------------
// request bodies

export const readBody = (call: Call): Json => {
  const body = parseJson(call.request.body)
  if (isObject(body)) return body
  throw new Halt(failure(call.world, 400, "Invalid request: the body is not a JSON object"))
}

export const requireFields = (call: Call, body: Json, names: ReadonlyArray<string>) => {
  const missing = names.filter((name) => isEmpty(body[name]))
  if (missing.length === 0) return
  const fieldErrors = missing.map((field) => ({ field, code: "required", message: `${field} is required` }))
  throw new Halt(invalidFields(call, `${missing.join(", ")} is required`, fieldErrors))
}

export const pick = (body: Json, names: ReadonlyArray<string>): Json =>
  Object.fromEntries(names.filter((name) => !isEmpty(body[name])).map((name) => [name, body[name]]))

const isEmpty = (value: unknown) => value === undefined || value === null || value === ""

// ---------------------------------------------------------------------------------------------------------------------
// the caller

export const subjectOf = (token: Token): Subject => ({
  id: token.id,
  subjectType: "SERVICEKEY",
  apiTokenName: token.name
})

/** From the highest to the lowest. */
const ranks = ["ORGANIZATION_OWNER", "WORKSPACE_OWNER", "WORKSPACE_OPERATOR", "WORKSPACE_AUTHOR"]

/** A role with a higher rank may do it too, and so may any role on `deployment` itself. */
export const requireRights = (call: Call, minimum: "owner" | "operator" | "author", deployment?: Deployment) => {
  const allowed = ranks.slice(0, ranks.indexOf(`WORKSPACE_${minimum.toUpperCase()}`) + 1)
  const isAllowed = call.caller.roles.some(({ entityId, role }) =>
    allowed.includes(role) || entityId === deployment?.id
  )
  if (!isAllowed) throw new Halt(failure(call.world, 403, "Insufficient permissions to perform this operation"))
}

const isVisible = ({ caller }: Call, deployment: Deployment): boolean =>
  caller.scope !== "DEPLOYMENT" || caller.entityId === deployment.id

/**
 * The deployments that take up a name and a place in the quota. With the quirk `slowDelete` a deleted one may still do.
 */
export const listedDeployments = ({ now, world }: Call): ReadonlyArray<Deployment> =>
  world.deployments.filter(({ deletedAt }) => deletedAt === null || now < deletedAt + world.quirks.slowDelete)

/** The deployments that the caller can read. */
export const visibleDeployments = (call: Call): ReadonlyArray<Deployment> =>
  listedDeployments(call).filter((deployment) => isVisible(call, deployment))

/** The deployment of a read. A few operations respond with another status than 404 if it is missing. */
export const requireVisibleDeployment = (call: Call, id: string, missingStatus = 404): Deployment =>
  requireOne(call, visibleDeployments(call), id, missingStatus)

/** The deployment of a change. */
export const requireLiveDeployment = (call: Call, id: string, missingStatus = 404): Deployment =>
  requireOne(call, liveDeployments(call.world).filter((deployment) => isVisible(call, deployment)), id, missingStatus)

const requireOne = (call: Call, all: ReadonlyArray<Deployment>, id: string, missingStatus: number): Deployment => {
  const deployment = all.find((candidate) => candidate.id === id)
  if (deployment !== undefined) return deployment
  throw new Halt(failure(call.world, missingStatus, "Deployment not found"))
}
