/** Other processes that use the same deployments. */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { createRequire } from "node:module"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as Home from "./home.js"

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href

/** Starts a process, and waits until it only needs to be told the name or the id. It ends with the scope. */
export const make = (home: string, method: "create" | "wake" | "hibernate" | "mint") =>
  Effect.gen(function*() {
    const client = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const child = spawn(process.execPath, [
          "--conditions=@airflow-resource/source",
          `--import=${tsx}`,
          fileURLToPath(new URL("client.fixture.ts", import.meta.url)),
          home,
          method
        ], { stdio: ["pipe", "pipe", "inherit"] })
        const client = { child, text: "" }
        child.stdout.on("data", (chunk) => client.text += chunk)
        return client
      }),
      ({ child }) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const says = (pattern: RegExp) =>
      Home.until(Effect.suspend(() => {
        const found = pattern.exec(client.text)
        return found === null ? Effect.fail(`it does not say ${pattern}: ${client.text}`) : Effect.succeed(found[1])
      }))
    yield* says(/ready/)
    return {
      go: (argument: string) => Effect.sync(() => client.child.stdin.write(argument)),
      outcome: says(/done: (\w+)/),
      kill: Effect.sync(() => client.child.kill("SIGKILL"))
    }
  })

/** Lets them go at once. Returns their outcomes. */
export const race = (argument: string, clients: ReadonlyArray<Effect.Effect.Success<ReturnType<typeof make>>>) =>
  Effect.zipRight(
    Effect.forEach(clients, ({ go }) => go(argument)),
    Effect.forEach(clients, ({ outcome }) => outcome)
  )
