/**
 * What is on this machine, for people: where a deployment's files are, how to log in, and what can be deleted.
 *
 * @since 0.1.0
 */
import type { DeploymentId } from "@airflow-resource/core/Deployment"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "./internal/DeploymentFolder.js"
import { endWriters } from "./internal/environment/once.js"
import * as FileLock from "./internal/FileLock.js"
import * as Identity from "./internal/Identity.js"
import { remove } from "./internal/remove.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Details {
  readonly folder: string
  /** A process that runs has a token for it. */
  readonly isLeased: boolean
  /** The Airflow's own user, which may do everything. */
  readonly username: string
  readonly password: Redacted.Redacted
  /** The logs of the supervisor and of Airflow's processes, by component. */
  readonly logs: Readonly<Record<string, string>>
}

/**
 * What is known about a deployment; `None` if it does not exist.
 *
 * @example
 * ```ts
 * import type { DeploymentId } from "@airflow-resource/core/Deployment"
 * import * as LocalHome from "@airflow-resource/local/LocalHome"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * export const schedulerLog = (home: string, id: DeploymentId) =>
 *   Effect.map(LocalHome.details(home, id), Option.map(({ logs }) => logs["scheduler"]))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const details = (home: string, id: DeploymentId): Effect.Effect<Option.Option<Details>> =>
  Effect.gen(function*() {
    const folder = path.join(home, "deployments", id)
    const facts = DeploymentFolder.facts.read(folder)
    if (Option.isNone(facts)) return Option.none()
    const self = yield* Identity.self
    const owners = DeploymentFolder.tokens(folder).map(({ owner }) => owner)
    const { password, username } = facts.value
    const components = DeploymentFolder.names(path.join(folder, "logs")).filter((name) => name.endsWith(".log"))
    return Option.some({
      folder,
      isLeased: (yield* Effect.filter(owners, Identity.isAlive(self))).length > 0,
      username,
      password: Redacted.make(password),
      logs: {
        supervisor: DeploymentFolder.logOf(folder),
        ...Object.fromEntries(components.map((name) => [name.slice(0, -4), path.join(folder, "logs", name)]))
      }
    })
  })

/**
 * Deletes what is left of deployments whose deletion did not come to its end, with their databases, and the Python environments that no
 * deployment was created with, unless they are being installed. Returns the folders. The next lease that needs an environment installs it
 * again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const prune = (home: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function*() {
    const [deployments, environments] = [path.join(home, "deployments"), path.join(home, "environments")]
    const used = new Set(
      DeploymentFolder.names(deployments).flatMap((name) =>
        Option.toArray(DeploymentFolder.facts.read(path.join(deployments, name))).map(({ environment }) => environment)
      )
    )
    const removed: Array<string> = []
    const self = yield* Identity.self
    for (const name of DeploymentFolder.names(deployments)) {
      const folder = path.join(deployments, name)
      // a dot: it is being created
      if (name.startsWith(".") || Option.isSome(DeploymentFolder.facts.read(folder))) continue
      yield* Effect.scoped(Effect.gen(function*() {
        const isFree = yield* FileLock.tryAcquire(DeploymentFolder.lockOf(folder))
        if (isFree && (yield* remove(folder, self))) removed.push(folder)
      })).pipe(Effect.catchAll(({ message }) => Effect.logWarning(message)))
    }
    for (const name of DeploymentFolder.names(environments)) {
      const folder = path.join(environments, name)
      if (used.has(folder) || !fs.statSync(folder).isDirectory()) continue
      yield* Effect.scoped(Effect.gen(function*() {
        const isFree = yield* FileLock.tryAcquire(`${folder}.lock`)
        if (!isFree) return
        const marker = path.join(folder, "complete")
        if (!fs.existsSync(marker)) yield* endWriters(folder)
        // an environment without it is not complete, even if this process is killed halfway
        fs.rmSync(marker, { force: true })
        fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
        removed.push(folder)
      })).pipe(Effect.catchAll(({ message }) => Effect.logWarning(message)))
    }
    return removed
  })
