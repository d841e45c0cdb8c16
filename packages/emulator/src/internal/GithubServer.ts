/** GitHub's API for repository secrets. `/github` stands for `https://api.github.com`. */
import {
  bearerToken,
  catchHalt,
  Halt,
  isObject,
  json,
  match,
  noContent,
  parseJson,
  type Request,
  type Response,
  response,
  route
} from "./Http.js"
import * as SealedBox from "./SealedBox.js"
import { findRepository, type GithubRights, isoTime, type Repository, type Secret, type World } from "./World.js"

interface Call {
  readonly world: World
  readonly request: Request
  readonly now: number
  readonly rights: GithubRights
}

/** The path of `request` is relative to `/github`. */
export const handle = (world: World, request: Request, now: number): Response => {
  const token = world.githubTokens.get(bearerToken(request.headers) ?? "")
  if (token === undefined) return failure(401, "Bad credentials")
  const found = match(routes, request.method, request.segments)
  if (found._tag !== "Found") return failure(404, "Not Found")
  return catchHalt(() => found.route.handle({ world, request, now, rights: token.rights }, ...found.parameters))
}

/** A repository that the token does not see is treated as missing. */
const requireRepository = (call: Call, owner: string, name: string): Repository => {
  const repository = findRepository(call.world, `${owner}/${name}`)
  if (repository !== undefined && call.rights !== "none") return repository
  throw new Halt(failure(404, "Not Found"))
}

const repositoryJson = (call: Call, repository: Repository) => {
  const [login = "", name = ""] = repository.fullName.split("/")
  const canWrite = call.rights === "write"
  return {
    id: repository.id,
    name,
    full_name: repository.fullName,
    private: true,
    owner: { login, type: "Organization" },
    html_url: `https://github.com/${repository.fullName}`,
    default_branch: "main",
    permissions: { admin: false, maintain: false, push: canWrite, triage: canWrite, pull: true }
  }
}

const getRepository = (call: Call, owner: string, name: string): Response =>
  json(200, repositoryJson(call, requireRepository(call, owner, name)))

const secretJson = ([name, secret]: readonly [string, Secret]) => ({
  name,
  created_at: isoTime(secret.createdAt).replace(/\.\d+/, ""),
  updated_at: isoTime(secret.updatedAt).replace(/\.\d+/, "")
})

const getPublicKey = (call: Call, owner: string, name: string): Response => {
  const { key } = requireRepository(call, owner, name)
  return json(200, { key_id: key.id, key: Buffer.from(key.publicKey).toString("base64") })
}

const listSecrets = (call: Call, owner: string, name: string): Response => {
  const { secrets } = requireRepository(call, owner, name)
  const size = Math.min(Number(call.request.query.get("per_page") ?? 30), 100)
  const first = (Number(call.request.query.get("page") ?? 1) - 1) * size
  return json(200, { total_count: secrets.size, secrets: [...secrets].slice(first, first + size).map(secretJson) })
}

const getSecret = (call: Call, owner: string, name: string, secretName: string): Response => {
  const secret = requireRepository(call, owner, name).secrets.get(secretName.toUpperCase())
  return secret === undefined ? failure(404, "Not Found") : json(200, secretJson([secretName.toUpperCase(), secret]))
}

const putSecret = (call: Call, owner: string, name: string, secretName: string): Response => {
  const repository = requireRepository(call, owner, name)
  requireWrite(call)
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(secretName)) {
    return failure(
      422,
      "Secret names can only contain alphanumeric characters ([a-z], [A-Z], [0-9]) or underscores (_). Spaces are not allowed. Must start with a letter ([a-z], [A-Z]) or underscores (_)."
    )
  }
  if (/^GITHUB_/i.test(secretName)) return failure(422, "Secret names must not start with GITHUB_.")
  const body = parseJson(call.request.body)
  if (!isObject(body)) return failure(400, "Problems parsing JSON")
  const missing = ["encrypted_value", "key_id"].find((field) => typeof body[field] !== "string")
  if (missing !== undefined) return failure(422, `Invalid request.\n\n"${missing}" wasn't supplied.`)
  const encrypted = String(body.encrypted_value)
  if (!base64.test(encrypted)) {
    return failure(422, `Invalid request.\n\nencrypted_value does not match ${base64.source}`)
  }
  const value = body.key_id === repository.key.id
    ? SealedBox.open(Buffer.from(encrypted, "base64"), repository.key)
    : undefined
  if (value === undefined) {
    return failure(422, "Bad request - validation failed due to an improperly encrypted secret")
  }
  if (Buffer.byteLength(value) > 48 * 1024) return failure(422, "Secret value is too large: the maximum is 48 KB")
  const key = secretName.toUpperCase()
  const known = repository.secrets.get(key)
  repository.secrets.set(key, { value, createdAt: known?.createdAt ?? call.now, updatedAt: call.now })
  call.world.secretWrites.push({ at: call.now, repo: repository.fullName, name: key })
  return known === undefined ? json(201, {}) : noContent()
}

const deleteSecret = (call: Call, owner: string, name: string, secretName: string): Response => {
  const repository = requireRepository(call, owner, name)
  requireWrite(call)
  return repository.secrets.delete(secretName.toUpperCase()) ? noContent() : failure(404, "Not Found")
}

const requireWrite = ({ rights }: Call) => {
  if (rights !== "write") {
    const permissions = { "x-accepted-github-permissions": "secrets=write" }
    throw new Halt(failure(403, "Resource not accessible by personal access token", permissions))
  }
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/

const repository = "repos/:owner/:repo"
const secrets = `${repository}/actions/secrets`

const routes = [
  route<Call>(`GET ${repository}`, getRepository),
  route<Call>(`GET ${secrets}/public-key`, getPublicKey),
  route<Call>(`GET ${secrets}`, listSecrets),
  route<Call>(`GET ${secrets}/:name`, getSecret),
  route<Call>(`PUT ${secrets}/:name`, putSecret),
  route<Call>(`DELETE ${secrets}/:name`, deleteSecret)
]

const failure = (status: number, message: string, headers: Record<string, string> = {}): Response =>
  response(
    status,
    "application/json; charset=utf-8",
    JSON.stringify({ message, documentation_url: "https://docs.github.com/rest", status: String(status) }),
    headers
  )
