// Run as a process: calls a provider over the home of a test, once its input says so, prints what came of it, and lives on.
import { Deployment } from "@airflow-resource/core"
import { Effect, Either } from "effect"
import { once } from "node:events"
import * as Home from "./home.js"

const [home = "", method = ""] = process.argv.slice(2)

const provider = await Effect.runPromise(Home.provider(home))
const spec = await Effect.runPromise(Home.spec)
process.stdout.write("ready\n")
const argument = String((await once(process.stdin, "data"))[0])
const id = Deployment.DeploymentId.make(argument)
const calls: Record<string, Effect.Effect<unknown, { readonly kind: string }>> = {
  create: provider.create({ name: argument, description: "of another process", spec }),
  wake: provider.wake(id),
  hibernate: provider.hibernate(id),
  mint: provider.createToken(id, "of another process")
}
const result = await Effect.runPromise(Effect.either(calls[method] ?? Effect.dieMessage(`no method ${method}`)))
process.stdout.write(`done: ${Either.isRight(result) ? "success" : result.left.kind}\n`)
