/**
 * What is on this machine, for people: where a deployment's files are, how to log in, and what can be deleted.
 *
 * @since 0.1.0
 */
import type { DeploymentId } from "@airflow-resource/core/Deployment"
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type { FileSystem } from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import * as DeploymentFolder from "./internal/DeploymentFolder.js"
import * as Environments from "./internal/environment/once.js"
import * as FileLock from "./internal/FileLock.js"
import * as Identity from "./internal/Identity.js"
import { remove } from "./internal/remove.js"
import * as Seed from "./internal/supervisor/Seed.js"

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
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
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
    const folder = DeploymentFolder.folderOf(home, id)
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
 * Deletes what is left of deployments whose creation or deletion did not come to its end, with their databases, and the Python environments that no
 * deployment was created with, unless they are being installed. Returns the folders. The next lease that needs an environment installs it
 * again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const prune = (home: string): Effect.Effect<ReadonlyArray<string>, ProviderError, FileSystem> =>
  Effect.gen(function*() {
    const environments = path.join(home, "environments")
    const removed: Array<string> = []
    if (!fs.existsSync(home)) return removed
    const self = yield* Identity.self
    // no deployment is created meanwhile
    yield* FileLock.acquire(DeploymentFolder.namesLockOf(home))
    for (const folder of DeploymentFolder.unfinishedOnes(home)) {
      fs.rmSync(folder, { recursive: true, force: true })
      removed.push(folder)
    }
    const used = new Set<string>()
    for (const folder of DeploymentFolder.all(home)) {
      const facts = DeploymentFolder.facts.read(folder)
      if (Option.isSome(facts)) {
        used.add(facts.value.environment)
        continue
      }
      yield* Effect.scoped(Effect.gen(function*() {
        const isFree = yield* FileLock.tryAcquire(DeploymentFolder.lockOf(folder))
        if (isFree && (yield* remove(folder, self))) removed.push(folder)
      })).pipe(Effect.catchAll(({ message }) => Effect.logWarning(message)))
    }
    for (const name of DeploymentFolder.names(environments)) {
      const folder = path.join(environments, name)
      if (used.has(folder) || !fs.statSync(folder).isDirectory()) continue
      yield* Effect.scoped(Effect.gen(function*() {
        const isFree = (yield* FileLock.tryAcquire(Environments.lockOf(folder))) &&
          (yield* FileLock.tryAcquire(Seed.lockOf(folder)))
        if (!isFree) return
        yield* Environments.remove(folder)
        removed.push(folder)
      })).pipe(Effect.catchAll(({ message }) => Effect.logWarning(message)))
    }
    return removed
  }).pipe(
    Effect.scoped,
    Effect.mapError(({ message }) =>
      new ProviderError({
        kind: "unusable",
        operation: `delete what is not used in ${home}`,
        detail: message,
        remedy: "Then run the command again."
      })
    )
  )

/**
 * How much memory processes can still get, in bytes. `None` on macOS before libuv 1.52, where Node counts only the pages that nothing uses
 * at all.
 *
 * @since 0.1.0
 * @category accessors
 */
export const availableMemory: Effect.Effect<Option.Option<number>> = Effect.sync(() => {
  const [, minor = 0] = process.versions.uv.split(".").map(Number)
  return process.platform === "darwin" && minor < 52 ? Option.none() : Option.some(process.availableMemory())
})
