/** Astro's rate limits: one bucket for each token and method, which refills over time. */
import type { Method } from "../../Quirks.js"
import { gatewayPage, type Response } from "../Http.js"
import type { Token, World } from "../World.js"
import { failure } from "./Api.js"

/** The response to a request over the limit; `undefined` if the request is allowed. */
export const refusal = (world: World, caller: Token, method: string, now: number): Response | undefined => {
  const { rateLimits } = world.quirks
  if (rateLimits === null || !(method in rateLimits.perSecond)) return undefined
  const perSecond = rateLimits.perSecond[method as Method]
  const size = Math.max(1, perSecond)
  const key = `${caller.id} ${method}`
  const known = world.buckets.get(key) ?? { at: now, level: size }
  const level = Math.min(size, known.level + (now - known.at) / 1000 * perSecond)
  if (level >= 1) {
    world.buckets.set(key, { at: now, level: level - 1 })
    return undefined
  }
  if (rateLimits.response === "gateway") return gatewayPage(429)
  const limited = failure(world, 429, "Too many requests")
  if (rateLimits.response === "json") return limited
  const seconds = Math.ceil((1 - level) / perSecond)
  return { ...limited, headers: { ...limited.headers, "retry-after": String(seconds) } }
}
