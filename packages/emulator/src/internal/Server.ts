/** The emulator's HTTP server: it records each request, applies the fault that matches it, and dispatches it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as NodeHttp from "node:http"
import type { AddressInfo } from "node:net"
import * as Faults from "../Faults.js"
import * as AirflowServer from "./AirflowServer.js"
import * as Astro from "./astro/Routes.js"
import * as Audit from "./Audit.js"
import * as GithubServer from "./GithubServer.js"
import * as Http from "./Http.js"
import * as Ingress from "./Ingress.js"
import * as Send from "./Send.js"
import * as World from "./World.js"

/** Listens on loopback until the scope closes. Port 0 means a free port. */
export const listen = (port: number): Effect.Effect<NodeHttp.Server, NodeJS.ErrnoException, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<NodeHttp.Server, NodeJS.ErrnoException>((resume) => {
      const server = NodeHttp.createServer()
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen({ host: "127.0.0.1", port }, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )

export const urlOf = (server: NodeHttp.Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`

/**
 * Handles one request. `upstreamOf` is the real Airflow that stands in for the deployment's emulated one, if there is
 * one.
 */
export const handle = (
  world: World.World,
  upstreamOf: ((deployment: World.Deployment) => Ingress.Upstream) | undefined,
  request: NodeHttp.IncomingMessage,
  response: NodeHttp.ServerResponse
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const method = request.method ?? "GET"
    const target = request.url ?? "/"
    const deployment = Ingress.findDeployment(world, target.split(/[/?]/)[1])
    const record = Audit.recorder(world, request, deployment)
    const fault = Faults.take(world.faults, method, target)
    const late = fault?._tag === "Late" ? fault : undefined
    // a late request is recorded when it is carried out, any other one when it arrives
    let setStatus = late === undefined ? record(yield* currentTime) : undefined

    if (fault?._tag === "DropBefore") return dropConnection(request)
    if (fault?._tag === "Status" || fault?._tag === "Html") {
      const replacement = faultResponse(fault)
      setStatus?.(replacement.status)
      request.resume()
      return yield* Send.send(response, replacement)
    }
    if (fault?._tag === "Delay") yield* Effect.sleep(fault.duration)

    // decided once, before the body arrives: meanwhile an Airflow may wake
    const admittedAt = yield* currentTime
    const caller = World.findToken(world, Http.bearerToken(request.headers), admittedAt)
    const refusal = deployment === undefined ? undefined : Ingress.refusal(world, deployment, caller, admittedAt)
    const upstream = deployment === undefined || refusal !== undefined ? undefined : upstreamOf?.(deployment)
    // the body of a request that is forwarded at once is piped, not read
    const body = upstream === undefined || late !== undefined ? yield* readBody(request) : undefined
    const isDetached = late !== undefined && late.responds !== true
    if (isDetached) dropConnection(request)
    if (late !== undefined) yield* late.after

    const now = yield* currentTime
    setStatus ??= record(now)
    const loss = deployment === undefined ? undefined : Ingress.lossSince(world, deployment, admittedAt, now)
    if (deployment !== undefined && upstream !== undefined && loss === undefined) {
      const tail = target.slice(World.ingressPath(deployment).length + 1)
      const isClientGone = late !== undefined && (isDetached || response.destroyed)
      const drops = fault?._tag === "DropAfter" || isClientGone
        ? "response"
        : fault?._tag === "Cut"
        ? "end"
        : undefined
      const status = yield* Ingress.forward(upstream, tail, request, response, { body, drops })
      return setStatus(fault?._tag === "DropAfter" ? 0 : status)
    }
    const result = refusal ?? loss ??
      dispatch(world, deployment, Http.parse(method, target, request.headers, String(body ?? "")), now, caller)
    if (fault?._tag === "DropAfter") return dropConnection(request)
    setStatus(result.status)
    // harmless if the client of a late request is gone
    yield* Send.send(response, result, fault?._tag === "Cut")
  }).pipe(
    // a bug in the emulator must not look like a slow server
    Effect.catchAllDefect((defect) =>
      Effect.zipRight(
        Effect.logError("The emulator failed to handle a request", defect),
        response.headersSent
          ? Effect.sync(() => response.destroy())
          : Send.send(response, Http.gatewayPage(500))
      )
    )
  )

const dispatch = (
  world: World.World,
  deployment: World.Deployment | undefined,
  request: Http.Request,
  now: number,
  caller: World.Token | undefined
): Http.Response => {
  const [first] = request.segments
  const rest = Http.withoutPrefix(request, 1)
  if (deployment !== undefined) return AirflowServer.handle(world, deployment, rest, now)
  const located = Astro.locate(request)
  if (located !== undefined) return Astro.handle(world, located, now, caller)
  return first === "github" ? GithubServer.handle(world, rest, now) : Http.gatewayPage(404)
}

const currentTime = Effect.clockWith((clock) => clock.currentTimeMillis)

const readBody = (request: NodeHttp.IncomingMessage): Effect.Effect<Buffer> =>
  Effect.async<Buffer>((resume) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => resume(Effect.succeed(Buffer.concat(chunks))))
    // half a request gets no response
    request.on("error", () => resume(Effect.interrupt))
  })

const dropConnection = (request: NodeHttp.IncomingMessage): void => {
  request.socket.destroy()
}

const faultResponse = (fault: Extract<Faults.Outcome, { _tag: "Status" | "Html" }>): Http.Response => {
  if (fault._tag === "Html") return Http.gatewayPage(fault.status)
  const body = fault.body === undefined ? "" : typeof fault.body === "string" ? fault.body : JSON.stringify(fault.body)
  return Http.response(fault.status, fault.contentType ?? "application/json", body, fault.headers)
}
