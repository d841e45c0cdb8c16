/** The Airflows on this machine. */
import type { Deployment } from "@airflow-resource/core/Deployment"
import { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as LocalHome from "@airflow-resource/local/LocalHome"
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as process from "node:process"
import * as Settings from "../../Settings.js"
import * as PoolLayer from "../poolLayer.js"
import type { LocalProvider } from "../provider/localPlan.js"
import { json, output } from "./common.js"

/** There is no such deployment, or no such log of it. */
export class NotFound extends Schema.TaggedError<NotFound>("airflow-resource/NotFound")("NotFound", {
  what: Schema.String,
  there: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `There is no ${this.what}. There is: ${this.there.join(", ") || "nothing"}.`
  }
}

/** A test is using the deployment. */
export class InUse extends Schema.TaggedError<InUse>("airflow-resource/InUse")("InUse", { name: Schema.String }) {
  override get message(): string {
    return `${this.name} is leased. Wait until its test has ended, or end the test; then run this command again.`
  }
}

const deployment = Args.text({ name: "deployment" }).pipe(
  Args.withDescription("The name or the id of a deployment, as `local list` shows them.")
)

const list = Command.make("list", { json }, ({ json }) =>
  output(
    json,
    withProvider(({ home }, provider) =>
      Effect.flatMap(provider.list, (all) =>
        Effect.forEach(
          Array.from(all).sort((a, b) => a.name < b.name ? -1 : 1),
          (one) =>
            Effect.map(detailsOf(home, one), ({ folder, isLeased }) => ({
              name: one.name,
              id: one.id,
              status: one.status,
              airflow: one.spec.runtimeVersion,
              environment: one.spec.region,
              leased: isLeased,
              uiUrl: one.uiUrl,
              folder,
              problem: one.problem ?? null
            }))
        ))
    ),
    (all) =>
      all.length === 0
        ? "There are no local deployments of this project. The first lease creates one."
        : all.map(({ airflow, environment, folder, leased, name, problem, status, uiUrl }) =>
          [
            `${name}  ${status}${leased ? ", leased" : ""}  Airflow ${airflow}, ${environment}`,
            `  ${status === "HEALTHY" ? uiUrl : folder}`,
            ...(problem === null ? [] : [`  ${problem.split("\n", 1)[0]}`])
          ].join("\n")
        ).join("\n")
  )).pipe(Command.withDescription("Shows the project's deployments on this machine."))

const logs = Command.make("logs", {
  deployment,
  component: Args.text({ name: "component" }).pipe(
    Args.optional,
    Args.withDescription(
      "supervisor, scheduler, triggerer, api-server, dag-processor or webserver. Without it, all of them."
    )
  ),
  follow: Options.boolean("follow").pipe(
    Options.withAlias("f"),
    Options.withDescription("Go on until interrupted.")
  )
}, ({ component, deployment, follow }) =>
  withProvider(({ home }, provider) =>
    Effect.gen(function*() {
      const { logs } = yield* Effect.flatMap(find(provider, deployment), (one) => detailsOf(home, one))
      const wanted = Option.match(component, {
        onNone: () => Object.entries(logs),
        onSome: (name) => Object.entries(logs).filter(([one]) => one === name)
      })
      if (wanted.length === 0) {
        const what = `log ${Option.getOrElse(component, () => "")} of ${deployment}`
        return yield* new NotFound({ what, there: Object.keys(logs) })
      }
      const shown = new Map<string, number>()
      const show = Effect.sync(() => {
        for (const [name, file] of wanted) {
          let isFirst = true
          for (const part of partsOf(file, shown.get(file) ?? 0)) {
            if (isFirst && wanted.length > 1) process.stdout.write(`== ${name}: ${file}\n`)
            isFirst = false
            process.stdout.write(part)
            shown.set(file, (shown.get(file) ?? 0) + part.length)
          }
        }
      })
      yield* follow ? Effect.repeat(show, Schedule.spaced("250 millis")) : show
    })
  )).pipe(Command.withDescription("Prints the logs of a deployment's processes."))

const open = Command.make("open", { deployment, json }, ({ deployment, json }) =>
  output(
    json,
    withProvider(({ home }, provider) =>
      Effect.gen(function*() {
        const one = yield* find(provider, deployment)
        const { password, username } = yield* detailsOf(home, one)
        const { name, status } = one
        return { name, status, uiUrl: one.isAwake ? one.uiUrl : null, username, password: Redacted.value(password) }
      })
    ),
    ({ name, password, status, uiUrl, username }) =>
      uiUrl === null
        ? `${name} is ${status}: its pages are there while a test leases it.`
        : `${uiUrl}\nuser      ${username}\npassword  ${password}`
  ).pipe(
    Effect.flatMap(({ uiUrl }) => uiUrl === null || json ? Effect.void : openBrowser(uiUrl)),
    Effect.provide(PoolLayer.platform)
  )).pipe(Command.withDescription("Opens the pages of an awake deployment, and says how to log in."))

const stop = Command.make(
  "stop",
  { deployment, json },
  ({ deployment, json }) =>
    output(
      json,
      withUnused(deployment, ({ hibernate }, { id, name }) => Effect.as(hibernate(id), { name, id })),
      ({ name }) => `${name} stops.`
    )
).pipe(
  Command.withDescription("Stops a deployment that is not leased. The next lease starts it again.")
)

const remove = Command.make(
  "remove",
  { deployment, json },
  ({ deployment, json }) =>
    output(
      json,
      withUnused(deployment, (provider, { id, name }) => Effect.as(provider.delete(id), { name, id })),
      ({ name }) => `${name} is deleted.`
    )
).pipe(
  Command.withDescription("Deletes a deployment that is not leased, with its database and logs.")
)

const prune = Command.make("prune", { json }, ({ json }) =>
  output(
    json,
    withProvider(({ home }) => LocalHome.prune(home)),
    (removed) =>
      removed.length === 0 ? "There is nothing to delete." : removed.map((one) => `Deleted ${one}.`).join("\n")
  )).pipe(
    Command.withDescription(
      "Deletes the Python environments that no deployment uses, and what is left of deleted deployments."
    )
  )

export const local = Command.make("local").pipe(
  Command.withDescription("The Airflows on this machine."),
  Command.withSubcommands([list, logs, open, stop, remove, prune])
)

// internal

type Provider = typeof DeploymentProvider.Service

/** Whatever AIRFLOW_RESOURCE_PROVIDER is. */
const withProvider = <A, E, R>(body: (settings: LocalProvider, provider: Provider) => Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    process.env["AIRFLOW_RESOURCE_PROVIDER"] = "local"
    delete process.env["AIRFLOW_RESOURCE_DELIVERY"]
    const { provider } = yield* Settings.load(process.cwd(), { delivers: false })
    if (provider._tag !== "Local") return yield* Effect.dieMessage("the provider local is Local")
    return yield* Effect.flatMap(DeploymentProvider, (operations) => body(provider, operations)).pipe(
      Effect.provide(PoolLayer.opened({ provider }, (parts) => parts.provider)),
      Effect.provide(PoolLayer.platform)
    )
  })

const find = (provider: Provider, name: string) =>
  Effect.flatMap(provider.list, (all) => {
    const found = all.find((one) => one.name === name || one.id === name)
    return found === undefined
      ? new NotFound({ what: `deployment ${name}`, there: all.map(({ name }) => name) })
      : Effect.succeed(found)
  })

const detailsOf = (home: string, { id, name }: Deployment) =>
  Effect.flatMap(
    LocalHome.details(home, id),
    Option.match({
      onNone: () => new NotFound({ what: `deployment ${name} any more`, there: [] }),
      onSome: Effect.succeed
    })
  )

/** Fails if it is leased. */
const withUnused = <A, E, R>(name: string, body: (provider: Provider, one: Deployment) => Effect.Effect<A, E, R>) =>
  withProvider(({ home }, provider) =>
    Effect.gen(function*() {
      const one = yield* find(provider, name)
      const { isLeased } = yield* detailsOf(home, one)
      return isLeased ? yield* new InUse({ name: one.name }) : yield* body(provider, one)
    })
  )

const openBrowser = (url: string) =>
  Effect.flatMap(ProcessRunner, ({ run }) =>
    run({
      command: process.platform === "darwin" ? "open" : "xdg-open",
      args: [url],
      env: Object.fromEntries(Object.entries(process.env).map(([name, value]) => [name, value ?? ""])),
      cwd: process.cwd(),
      timeout: "5 seconds"
    })).pipe(Effect.catchAll(() => Console.error("No browser could be started.")))

/** What a file has after an offset, in parts: it may be large. */
function* partsOf(file: string, offset: number): Generator<Buffer> {
  if (!fs.existsSync(file)) return
  const descriptor = fs.openSync(file, "r")
  try {
    for (let position = offset;;) {
      const buffer = Buffer.alloc(65_536)
      const length = fs.readSync(descriptor, buffer, 0, buffer.length, position)
      if (length === 0) return
      position += length
      yield buffer.subarray(0, length)
    }
  } finally {
    fs.closeSync(descriptor)
  }
}
