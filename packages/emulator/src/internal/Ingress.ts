/**
 * Astro's ingress in front of a deployment's Airflow. It responds itself while no Airflow runs behind it, accepts only
 * tokens with rights on the deployment, and passes the other requests on to the emulated Airflow or to a real one.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Lifecycle from "../Lifecycle.js"
import { gatewayPage, json, type Response } from "./Http.js"
import { sendHalf } from "./Send.js"
import { type Deployment, ingressPath, phasesOf, type Token, type World } from "./World.js"

/** A real Airflow, and the whole `Authorization` header that it accepts. */
export interface Upstream {
  readonly url: string
  readonly authorization: string
}

/** Finds deleted deployments too. */
export const findDeployment = (world: World, segment: string | undefined): Deployment | undefined =>
  world.deployments.find((deployment) => ingressPath(deployment) === segment)

/** The response to a request that the ingress does not pass on; `undefined` if it does. */
export const refusal = (
  world: World,
  deployment: Deployment,
  token: Token | undefined,
  now: number
): Response | undefined => {
  const absent = unavailable(world, deployment, now)
  if (absent !== undefined) return absent
  const isAllowed = token !== undefined && (token.scope !== "DEPLOYMENT" || token.entityId === deployment.id)
  return isAllowed ? undefined : json(401, { detail: "Invalid or missing bearer token" })
}

/** The response if the Airflow that received a request at `since` no longer runs; `undefined` if it still does. */
export const lossSince = (world: World, deployment: Deployment, since: number, now: number): Response | undefined => {
  const upAt = (at: number) => Lifecycle.phaseAt(phasesOf(world, deployment), at).up
  return unavailable(world, deployment, now) ?? (upAt(since) === upAt(now) ? undefined : gatewayPage(503))
}

const unavailable = (world: World, deployment: Deployment, now: number): Response | undefined => {
  if (deployment.deletedAt !== null) return gatewayPage(404)
  return Lifecycle.airflowResponds(phasesOf(world, deployment), world.timings, now) ? undefined : gatewayPage(503)
}

/**
 * Forwards a request to a real Airflow. `tail` (the rest of the URL) and both bodies are passed on unchanged; only the
 * credentials are replaced. Returns the status once the response has been passed on, 0 if it broke off.
 */
export const forward = (
  { authorization, url }: Upstream,
  tail: string,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  how: {
    /** The request's body if it has been read already; otherwise it is piped. */
    readonly body: Buffer | undefined
    /** The request is carried out, but the response, or the end of it, does not reach the client. */
    readonly drops: "response" | "end" | undefined
  }
): Effect.Effect<number> =>
  Effect.async<number>((resume) => {
    const base = new URL(url)
    const { connection: _, host: __, ...headers } = request.headers
    const upstream = (base.protocol === "https:" ? Https : Http).request({
      agent: false,
      hostname: base.hostname,
      port: base.port,
      method: request.method,
      // URL would decode and normalise the tail
      path: base.pathname.replace(/\/+$/, "") + tail,
      headers: { ...headers, host: base.host, authorization, connection: "close" }
    })
    upstream.on("response", (incoming) => {
      const { connection: ___, "keep-alive": ____, ...passedOn } = incoming.headers
      const status = incoming.statusCode ?? 502
      if (how.drops === "response") {
        request.socket.destroy()
        upstream.destroy()
        return resume(Effect.succeed(status))
      }
      response.writeHead(status, passedOn)
      incoming.on("error", () => {
        response.destroy()
        resume(Effect.succeed(0))
      })
      incoming.on("end", () => resume(Effect.succeed(status)))
      if (how.drops === "end") {
        incoming.once("data", (chunk: Buffer) => {
          incoming.destroy()
          sendHalf(response, chunk)
          resume(Effect.succeed(status))
        })
        return
      }
      incoming.pipe(response)
    })
    upstream.on("error", () => {
      if (response.headersSent) {
        response.destroy()
        return resume(Effect.succeed(0))
      }
      const page = gatewayPage(502)
      response.writeHead(page.status, page.headers).end(page.body)
      resume(Effect.succeed(page.status))
    })
    // a request whose body has been read is carried out even if its client has gone
    const isDetached = how.body !== undefined && how.drops === "response"
    if (!isDetached) response.on("close", () => upstream.destroy())
    if (how.body === undefined) request.pipe(upstream)
    else upstream.end(how.body)
    return Effect.sync(() => upstream.destroy())
  })
