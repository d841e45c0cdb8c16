/** One deployment's Airflow at one moment. Both API versions are views of it. */
import type { Request } from "../Http.js"
import type { Deployment, World } from "../World.js"
import type { Version } from "./Version.js"

export interface Airflow {
  readonly world: World
  readonly deployment: Deployment
  readonly version: Version
  readonly now: number
}

/** A request to it. */
export interface Call extends Airflow {
  readonly request: Request
}

/** SQL's `ILIKE '%pattern%'` as a regular expression. `~` and no pattern match everything. */
export const like = (pattern: string | null): RegExp =>
  pattern === null || pattern === "~"
    ? /^/
    : new RegExp(
      pattern.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("%", ".*").replaceAll("_", "."),
      "i"
    )
