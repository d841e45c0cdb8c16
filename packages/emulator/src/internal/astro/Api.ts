/** What all parts of Astro's API share: a call, who may do what, and the shape of answers. */
import { Halt, isObject, type Json, json, parseJson, type Reply, type Request } from "../Http.js"
import { type Deployment, isoTime, liveDeployments, type Subject, type Token, type World } from "../World.js"

export interface Call {
  readonly world: World
  readonly request: Request
  readonly now: number
  readonly caller: Token
  /** Of version 1, or of those before it, which astro CLIs up to 1.42 ask. */
  readonly isV1: boolean
}

/** Which of Astro's APIs a request is for. */
export type Api = "v1" | "platform" | "iam" | "v1alpha1"

// ---------------------------------------------------------------------------------------------------------------------
// answers

export const failure = (
  world: World,
  statusCode: number,
  message: string,
  fieldErrors?: ReadonlyArray<Json>
): Reply =>
  json(statusCode, {
    message,
    requestId: world.ids.id(),
    statusCode,
    ...(fieldErrors === undefined ? {} : { fieldErrors })
  })

export const invalid = ({ world }: Call, field: string, message: string): Reply =>
  failure(world, 400, `Invalid request: ${message}`, [{ field, code: "invalid", message }])

export const page = (call: Call, name: string, all: ReadonlyArray<object>): Reply => {
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

export const stamps = ({ world }: Call) => ({
  createdAt: isoTime(world.startedAt),
  updatedAt: isoTime(world.startedAt)
})

// ---------------------------------------------------------------------------------------------------------------------
// what was sent

export const readBody = (call: Call): Json => {
  const body = parseJson(call.request.body)
  if (isObject(body)) return body
  throw new Halt(failure(call.world, 400, "Invalid request: the body is not a JSON object"))
}

export const requireFields = (call: Call, body: Json, names: ReadonlyArray<string>) => {
  const missing = names.filter((name) => isEmpty(body[name]))
  if (missing.length === 0) return
  const fieldErrors = missing.map((field) => ({ field, code: "required", message: `${field} is required` }))
  throw new Halt(failure(call.world, 400, `Invalid request: ${missing.join(", ")} is required`, fieldErrors))
}

export const pick = (body: Json, names: ReadonlyArray<string>): Json =>
  Object.fromEntries(names.filter((name) => !isEmpty(body[name])).map((name) => [name, body[name]]))

const isEmpty = (value: unknown) => value === undefined || value === null || value === ""

// ---------------------------------------------------------------------------------------------------------------------
// who asks

export const subjectOf = (token: Token): Subject => ({
  id: token.id,
  subjectType: "SERVICEKEY",
  apiTokenName: token.name
})

const ranks = ["ORGANIZATION_OWNER", "WORKSPACE_OWNER", "WORKSPACE_OPERATOR", "WORKSPACE_AUTHOR"]

/** Whoever ranks higher may do it too, and with a deployment of its own a token of that deployment. */
export const requireRights = (call: Call, least: "owner" | "operator" | "author", deployment?: Deployment) => {
  const allowed = ranks.slice(0, ranks.indexOf(`WORKSPACE_${least.toUpperCase()}`) + 1)
  const isAllowed = call.caller.roles.some(({ entityId, role }) =>
    allowed.includes(role) || entityId === deployment?.id
  )
  if (!isAllowed) throw new Halt(failure(call.world, 403, "Insufficient permissions to perform this operation"))
}

const isVisible = ({ caller }: Call, deployment: Deployment): boolean =>
  caller.scope !== "DEPLOYMENT" || caller.entityId === deployment.id

/** What takes up a name and a place: one that was deleted a moment ago may still do. */
export const presentDeployments = ({ now, world }: Call): ReadonlyArray<Deployment> =>
  world.deployments.filter(({ deletedAt }) => deletedAt === null || now < deletedAt + world.quirks.slowDelete)

/** What reads show. */
export const shownDeployments = (call: Call): ReadonlyArray<Deployment> =>
  presentDeployments(call).filter((deployment) => isVisible(call, deployment))

/** A few operations know no 404. */
export const showDeployment = (call: Call, id: string, otherwise = 404): Deployment =>
  oneOf(call, shownDeployments(call), id, otherwise)

/** The deployment of a request that is more than a look. */
export const getDeployment = (call: Call, id: string, otherwise = 404): Deployment =>
  oneOf(call, liveDeployments(call.world).filter((deployment) => isVisible(call, deployment)), id, otherwise)

const oneOf = (call: Call, all: ReadonlyArray<Deployment>, id: string, otherwise: number): Deployment => {
  const one = all.find((deployment) => deployment.id === id)
  if (one !== undefined) return one
  throw new Halt(failure(call.world, otherwise, "Deployment not found"))
}
