/** One deployment's Airflow at one moment: what both dialects are asked about. */
import type { Request } from "../Http.js"
import type { Deployment, World } from "../World.js"
import type { Version } from "./Version.js"

export interface Site {
  readonly world: World
  readonly deployment: Deployment
  readonly version: Version
  readonly now: number
}

export interface Call extends Site {
  readonly request: Request
}

/** SQL's `ILIKE`, anywhere in the text; `~` is everything. */
export const like = (pattern: string | null): RegExp =>
  pattern === null || pattern === "~"
    ? /^/
    : new RegExp(
      pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("%", ".*").replaceAll("_", "."),
      "i"
    )
