/**
 * The only way to a deployment's Airflow: accepts the deployment's own tokens while they exist, and exchanges them for Airflow's
 * credentials, which its clients never see.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import { createHash, timingSafeEqual } from "node:crypto"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as path from "node:path"
import { json } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import * as DeploymentFolder from "../DeploymentFolder.js"

/** Where Airflow listens, and how it is authenticated. */
export interface Target {
  readonly url: string
  readonly authorization: string
}

/** What another process of the library may ask the supervisor to do, by name. Returns JSON. */
export type Orders = Readonly<Record<string, (body: unknown) => Effect.Effect<unknown, { readonly message: string }>>>

export interface Options {
  readonly folder: string
  /** The secret of those who give orders. */
  readonly key: string
  /** `undefined`: Airflow is not up. */
  readonly target: () => Target | undefined
  readonly orders: Orders
  /** Called when a request was let in, and when it has ended. */
  readonly onRequest: (change: 1 | -1) => void
}

/** The first part of the paths of orders. */
export const ordersPath = "/.supervisor/"

/** Listens on a free port of the loopback interface until the scope closes. Returns the port. */
export const make = (options: Options): Effect.Effect<number, never, Scope.Scope> =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime()
    const inFlight = new Map<http.ServerResponse, string>()
    const open = (response: http.ServerResponse) => {
      options.onRequest(1)
      response.once("close", () => options.onRequest(-1))
    }
    const server = http.createServer((request, response) => {
      // a client that has gone away is of no interest
      for (const stream of [request, response]) stream.on("error", () => {})
      const { port } = server.address() as AddressInfo
      if (!isOwnHost(request.headers.host, port)) return refuse(response, 403, "this is not the host of a deployment")
      const bearer = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? "")?.[1] ?? ""
      if (request.url?.startsWith(ordersPath)) {
        if (!isEqual(bearer, options.key)) return refuse(response, 401, "this is not the supervisor's key")
        open(response)
        return void obey(options.orders, runtime, request, response)
      }
      let token: string | undefined
      try {
        token = liveToken(options.folder, bearer)
      } catch (error) {
        return refuse(
          response,
          503,
          `the tokens cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"})`
        )
      }
      if (token === undefined) return refuse(response, 401, "the token is not one of this deployment, or was deleted")
      open(response)
      const target = options.target()
      if (target === undefined) return refuse(response, 503, "Airflow is not up")
      inFlight.set(response, token)
      response.once("close", () => inFlight.delete(response))
      forward(target, `http://127.0.0.1:${port}`, request, response)
    })
    // requests may wait for a long time: for a run, or for the lines of a log
    server.requestTimeout = 0
    // a response that is under way ends with its token
    const watcher = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const tokens = path.join(options.folder, "tokens")
        return fs.watch(tokens, { persistent: false }, () => {
          for (const [response, token] of inFlight) {
            if (!fs.existsSync(path.join(tokens, `${token}.json`))) response.destroy()
          }
        })
      }),
      (watcher) => Effect.sync(() => watcher.close())
    )
    // the folder may be deleted
    watcher.on("error", () => {})
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    return (server.address() as AddressInfo).port
  })

// internal

const sha256 = (text: string) => createHash("sha256").update(text).digest()

const isEqual = (a: string, b: string) => timingSafeEqual(sha256(a), sha256(b))

/** A page in a browser that was led here under another name must not reach Airflow. */
const isOwnHost = (host: string | undefined, port: number) =>
  host === `127.0.0.1:${port}` || host === `localhost:${port}`

/** The id of the token. Read from the disk each time, so that it ends at the moment at which its file is deleted. */
const liveToken = (folder: string, bearer: string): string | undefined => {
  const [, id = "", secret = ""] = /^([0-9a-f]{16})\.([0-9a-f]{64})$/.exec(bearer) ?? []
  if (id === "") return undefined
  const token = DeploymentFolder.token(id).read(folder)
  return Option.isSome(token) && timingSafeEqual(sha256(secret), Buffer.from(token.value.hash, "hex")) ? id : undefined
}

/** The body is Airflow's shape of an error in both of its versions. */
const refuse = (response: http.ServerResponse, status: number, detail: string) => {
  response.writeHead(status, {
    "content-type": "application/json",
    connection: "close",
    ...(status === 503 ? { "retry-after": "1" } : {})
  })
  response.end(
    JSON.stringify({ status, title: http.STATUS_CODES[status], detail: `The ingress refused it: ${detail}.` })
  )
}

const obey = async (
  orders: Orders,
  runtime: Runtime.Runtime<never>,
  request: http.IncomingMessage,
  response: http.ServerResponse
) => {
  const order = orders[request.url!.slice(ordersPath.length)]
  if (order === undefined) return refuse(response, 404, "there is no such order")
  const stop = new AbortController()
  response.once("close", () => stop.abort())
  try {
    const body = await json(request)
    const result = await Runtime.runPromise(runtime)(Effect.either(order(body)), { signal: stop.signal })
    response.writeHead(result._tag === "Right" ? 200 : 422, { "content-type": "application/json" })
    response.end(JSON.stringify(result._tag === "Right" ? result.right ?? null : { detail: result.left.message }))
  } catch (error) {
    if (!response.headersSent) response.writeHead(500, { "content-type": "application/json" })
    response.end(JSON.stringify({ detail: String(error) }))
  }
}

/** Headers that are for one connection only, or would outlive a token. */
const notForwarded = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  // Airflow 2 makes a session of a login, which would go on without a token
  "cookie",
  "set-cookie"
])

const forward = (
  target: Target,
  own: string,
  request: http.IncomingMessage,
  response: http.ServerResponse
): void => {
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !notForwarded.has(name)))
  const { host, hostname, port } = new URL(target.url)
  const upstream = http.request({
    hostname,
    port,
    method: request.method,
    path: request.url,
    headers: {
      ...headers,
      host,
      authorization: target.authorization,
      ...(request.headers["transfer-encoding"] === undefined ? {} : { "transfer-encoding": "chunked" })
    },
    agent: false
  })
  upstream.once("response", (answer) => {
    const { location, ...rest } = answer.headers
    response.writeHead(answer.statusCode ?? 502, {
      ...Object.fromEntries(Object.entries(rest).filter(([name]) => !notForwarded.has(name))),
      ...(location === undefined ? {} : { location: location.replace(target.url, own) })
    })
    // a response that is cut must not look complete
    pipeline(answer, response).catch(() => response.destroy())
  })
  upstream.on("error", (error) => {
    if (response.headersSent) return response.destroy()
    refuse(response, 503, `Airflow does not respond (${(error as NodeJS.ErrnoException).code ?? "unknown"})`)
  })
  response.once("close", () => upstream.destroy())
  request.pipe(upstream)
}
