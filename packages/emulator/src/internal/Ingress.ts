/**
 * What stands before a deployment's Airflow on Astro: it answers itself as long as there is no Airflow behind it, lets
 * only the deployment's tokens through, and passes the rest on, to the emulated Airflow or to a real one.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Power from "../Power.js"
import { gatewayPage, json, type Reply } from "./Http.js"
import { cutShort } from "./Send.js"
import { type Deployment, pathOf, phasesOf, type Token, type World } from "./World.js"

/** A real Airflow, and the whole `Authorization` header that it takes. */
export interface Target {
  readonly url: string
  readonly authorization: string
}

/** Also one that was deleted. */
export const findDeployment = (world: World, segment: string | undefined): Deployment | undefined =>
  world.deployments.find((deployment) => pathOf(deployment) === segment)

/** The answer where the request must not get through. */
export const refuse = (
  world: World,
  deployment: Deployment,
  token: Token | undefined,
  now: number
): Reply | undefined => {
  const absent = unavailable(world, deployment, now)
  if (absent !== undefined) return absent
  const isAllowed = token !== undefined && (token.scope !== "DEPLOYMENT" || token.entityId === deployment.id)
  return isAllowed ? undefined : json(401, { detail: "Invalid or missing bearer token" })
}

/** The answer where the Airflow that got a request at `since` is no longer there. */
export const lost = (world: World, deployment: Deployment, since: number, now: number): Reply | undefined => {
  const upAt = (at: number) => Power.phaseAt(phasesOf(world, deployment), at).up
  return unavailable(world, deployment, now) ?? (upAt(since) === upAt(now) ? undefined : gatewayPage(503))
}

const unavailable = (world: World, deployment: Deployment, now: number): Reply | undefined => {
  if (deployment.deletedAt !== null) return gatewayPage(404)
  return Power.airflowAnswers(phasesOf(world, deployment), world.timings, now) ? undefined : gatewayPage(503)
}

/**
 * Pipes the rest of the URL and both bodies as they are; only the credentials are exchanged. Answers with the status
 * once the answer has been handed over.
 */
export const forward = (
  target: Target,
  tail: string,
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  how: {
    /** What has been read already. */
    readonly body: Buffer | undefined
    /** Carried out, but the answer does not arrive, or its end does not. */
    readonly loses: "answer" | "end" | undefined
  }
): Effect.Effect<number> =>
  Effect.async<number>((resume) => {
    const url = new URL(target.url)
    const { connection: _, host: __, ...headers } = request.headers
    const upstream = (url.protocol === "https:" ? Https : Http).request({
      agent: false,
      hostname: url.hostname,
      port: url.port,
      method: request.method,
      // not through URL, which would decode and normalise
      path: url.pathname.replace(/\/+$/, "") + tail,
      headers: { ...headers, host: url.host, authorization: target.authorization, connection: "close" }
    })
    upstream.on("response", (answer) => {
      const { connection: ___, "keep-alive": ____, ...answered } = answer.headers
      const status = answer.statusCode ?? 502
      if (how.loses === "answer") {
        request.socket.destroy()
        upstream.destroy()
        return resume(Effect.succeed(status))
      }
      response.writeHead(status, answered)
      answer.on("error", () => {
        response.destroy()
        resume(Effect.succeed(0))
      })
      answer.on("end", () => resume(Effect.succeed(status)))
      if (how.loses === "end") {
        answer.once("data", (chunk: Buffer) => {
          answer.destroy()
          cutShort(response, chunk)
          resume(Effect.succeed(status))
        })
        return
      }
      answer.pipe(response)
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
    // what has been read already does not depend on a client that gets no answer
    const isDetached = how.body !== undefined && how.loses === "answer"
    if (!isDetached) response.on("close", () => upstream.destroy())
    if (how.body === undefined) request.pipe(upstream)
    else upstream.end(how.body)
    return Effect.sync(() => upstream.destroy())
  })
