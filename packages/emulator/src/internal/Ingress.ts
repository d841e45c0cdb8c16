/**
 * What stands before a deployment's Airflow on Astro: it answers itself as long as there is no Airflow behind it, lets
 * only the deployment's tokens through, and passes the rest on, to the emulated Airflow or to a real one.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Https from "node:https"
import * as Power from "../Power.js"
import { bearer, gatewayPage, json, type Reply } from "./Http.js"
import { cutShort } from "./Send.js"
import { type Deployment, findToken, liveDeployments, pathOf, phasesOf, type World } from "./World.js"

/** A real Airflow, and the whole `Authorization` header that it takes. */
export interface Target {
  readonly url: string
  readonly authorization: string
}

export const findDeployment = (world: World, segment: string | undefined): Deployment | undefined =>
  liveDeployments(world).find((deployment) => pathOf(deployment) === segment)

/** The answer where the request must not get through. */
export const refuse = (
  world: World,
  deployment: Deployment,
  headers: Http.IncomingHttpHeaders,
  now: number
): Reply | undefined => {
  if (!Power.airflowAnswers(phasesOf(world, deployment), world.timings, now)) return gatewayPage(503)
  const token = findToken(world, bearer(headers), now)
  const isAllowed = token !== undefined && (token.scope !== "DEPLOYMENT" || token.entityId === deployment.id)
  return isAllowed ? undefined : json(401, { detail: "Invalid or missing bearer token" })
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
  /** Carried out, but the answer does not arrive, or its end does not. */
  loses: "answer" | "end" | undefined
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
      if (loses === "answer") {
        request.socket.destroy()
        return resume(Effect.succeed(0))
      }
      response.writeHead(status, answered)
      answer.on("error", () => {
        response.destroy()
        resume(Effect.succeed(0))
      })
      answer.on("end", () => resume(Effect.succeed(status)))
      if (loses === "end") {
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
    response.on("close", () => upstream.destroy())
    request.pipe(upstream)
    return Effect.sync(() => upstream.destroy())
  })
