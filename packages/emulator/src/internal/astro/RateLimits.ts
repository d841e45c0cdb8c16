/** Astro's rate limits: a bucket for each token and method, filled up again by the time that passes. */
import type { Method } from "../../Quirks.js"
import { gatewayPage, type Reply } from "../Http.js"
import type { Token, World } from "../World.js"
import { failure } from "./Api.js"

/** The answer to a request that comes too soon. */
export const refuse = (world: World, caller: Token, method: string, now: number): Reply | undefined => {
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
  if (rateLimits.answer === "gateway") return gatewayPage(429)
  const reply = failure(world, 429, "Too many requests")
  if (rateLimits.answer === "json") return reply
  const seconds = Math.ceil((1 - level) / perSecond)
  return { ...reply, headers: { ...reply.headers, "retry-after": String(seconds) } }
}
