/** What is done with the folder of a deployment that does not exist any more. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as DeploymentFolder from "./DeploymentFolder.js"
import { endLeftovers } from "./leftovers.js"

/**
 * Ends its processes, drops its database and deletes the folder. Only to be called under the supervisor's lock. If the database cannot be
 * dropped, the folder stays, which remembers it, and this returns `false`.
 */
export const remove = (folder: string, self: DeploymentFolder.ProcessIdentity): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    yield* endLeftovers(folder, self)
    const server = DeploymentFolder.server.read(folder)
    if (Option.isSome(server)) {
      // loaded here, because most do without
      const PostgresDatabase = yield* Effect.promise(() => import("./supervisor/PostgresDatabase.js"))
      const problem = yield* Effect.match(PostgresDatabase.drop(folder, server.value), {
        onFailure: ({ message }) => message,
        onSuccess: () => undefined
      })
      if (problem !== undefined) {
        yield* Effect.logWarning(
          `${problem} Then run \`airflow-resource local prune\`, which tries it again. ` +
            `If the server is gone for ever, delete the folder ${folder}.`
        )
        return false
      }
    }
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    return true
  })
