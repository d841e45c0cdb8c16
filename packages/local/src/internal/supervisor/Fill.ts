/** Fills an empty database with Airflow's tables, and on Airflow 2 with a user. */
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { pbkdf2Sync, randomBytes } from "node:crypto"
import * as path from "node:path"
import type { User } from "../recipe.js"
import * as Parts from "./Parts.js"

/** The user that Airflow 2 begins with. Its password is an argument of a program, so that it must be replaced. */
export const firstUser = (): User => ({ username: first, password: randomBytes(16).toString("hex"), role: "Admin" })

/** Creates the tables, and `user` if it is Airflow 2. */
export const fill = (airflow: Parts.Options) =>
  Effect.gen(function*() {
    const { environment, home, user: { password, username }, version } = airflow
    const { run } = yield* ProcessRunner
    const command = (...args: ReadonlyArray<string>) =>
      run({
        command: path.join(environment, "bin", "airflow"),
        args,
        env: Parts.commandEnvironment(airflow),
        cwd: home,
        timeout: "5 minutes"
      }).pipe(
        Effect.filterOrFail(
          ({ exitCode }) => exitCode === 0,
          ({ stderr, stdout }) =>
            new Parts.AirflowFailed({
              message: `airflow ${args[0]} ${args[1]} failed:\n${stdout}\n${stderr}`.slice(-3000)
            })
        )
      )
    yield* command("db", "migrate")
    if (!version.startsWith("2.")) return
    const name = ["-u", username, "-p", password, "-r", "Admin"]
    yield* command("users", "create", ...name, "-f", "Test", "-l", "User", "-e", "seed@localhost")
  })

/** Gives the first user another name and password. A cheap hash is safe for a random secret of 256 bits, and saves a tenth of a second with every request. */
export const renameUser = ({ password, username }: Omit<User, "role">) => (sql: SqlClient) => {
  const salt = randomBytes(8).toString("hex")
  const hash = `pbkdf2:sha256:1$${salt}$${pbkdf2Sync(password, salt, 1, 32, "sha256").toString("hex")}`
  return sql`UPDATE ab_user SET username = ${username}, email = ${`${username}@localhost`}, password = ${hash} WHERE username = ${first}`
}

// internal

const first = "seed"
