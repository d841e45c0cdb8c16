/** The Airflows on this machine. */
import type { Deployment } from "@airflow-resource/core/Deployment"
import { DeploymentProvider } from "@airflow-resource/core/DeploymentProvider"
import { ProcessRunner } from "@airflow-resource/core/ProcessRunner"
import * as LocalHome from "@airflow-resource/local/LocalHome"
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
import { output, print, say, write } from "./output.js"
import * as Usage from "./usage.js"

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

export const local: Usage.Subcommand = (parent, run) => {
  const local = parent.command("local").summary("the Airflows on this machine")
    .description("The Airflows on this machine, whatever AIRFLOW_RESOURCE_PROVIDER is.")
  const add = (name: string, summary: string, example: string) =>
    Usage.formats(local.command(name)).summary(summary).addHelpText("after", Usage.footer({ examples: [example] }))
  const named = "the name or the id of a deployment, as `local list` shows them"

  add("list", "show the project's deployments", "airflow-resource local list")
    .description("Shows the project's deployments on this machine.")
    .action((format: Usage.Format) => run(output(Usage.isJson(format), list, renderList)))
  local.command("logs")
    .summary("print the logs of a deployment's processes")
    .description("Prints the logs of a deployment's processes.")
    .argument("<deployment>", named)
    .argument("[component]", "supervisor, scheduler, triggerer, api-server, dag-processor or webserver; or all")
    .option("-f, --follow", "go on until interrupted")
    .addHelpText("after", Usage.footer({ examples: ["airflow-resource local logs NAME scheduler --follow"] }))
    .action((deployment: string, component: string | undefined, { follow = false }: { readonly follow?: boolean }) =>
      run(logs(deployment, Option.fromNullable(component), follow))
    )
  add("open", "open the pages of an awake deployment", "airflow-resource local open")
    .description("Opens the pages of an awake deployment, and says how to log in. Without a name, of the only one.")
    .argument("[deployment]", named)
    .action((deployment: string | undefined, format: Usage.Format) => run(open(deployment, Usage.isJson(format))))
  add("stop", "stop a deployment that is not leased", "airflow-resource local stop NAME")
    .description("Stops a deployment that is not leased. The next lease starts it again.")
    .argument("<deployment>", named)
    .action((deployment: string, format: Usage.Format) =>
      run(output(
        Usage.isJson(format),
        withUnused(deployment, ({ hibernate }, { id, name }) => Effect.as(hibernate(id), { name, id })),
        ({ name }) => `${name} stops.`
      ))
    )
  add("remove", "delete a deployment that is not leased", "airflow-resource local remove NAME")
    .description("Deletes a deployment that is not leased, with its database and logs.")
    .argument("<deployment>", named)
    .action((deployment: string, format: Usage.Format) =>
      run(output(
        Usage.isJson(format),
        withUnused(deployment, (provider, { id, name }) => Effect.as(provider.delete(id), { name, id })),
        ({ name }) => `${name} is deleted.`
      ))
    )
  add("prune", "delete what no deployment uses", "airflow-resource local prune")
    .description("Deletes the Python environments that no deployment uses, and what is left of deleted deployments.")
    .action((format: Usage.Format) =>
      run(output(
        Usage.isJson(format),
        withProvider(({ home }) => LocalHome.prune(home)),
        (removed) =>
          removed.length === 0 ? "There is nothing to delete." : removed.map((one) => `Deleted ${one}.`).join("\n")
      ))
    )
  return local
}

// internal

const list = Effect.suspend(() =>
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
  )
)

const renderList = (all: Effect.Effect.Success<typeof list>) =>
  all.length === 0
    ? "There are no local deployments of this project. The first lease creates one."
    : all.map(({ airflow, environment, folder, leased, name, problem, status, uiUrl }) =>
      [
        `${name}  ${status}${leased ? ", leased" : ""}  Airflow ${airflow}, ${environment}`,
        `  ${status === "HEALTHY" ? uiUrl : folder}`,
        ...(problem === null ? [] : [`  ${problem.split("\n", 1)[0]}`])
      ].join("\n")
    ).join("\n")

const logs = (deployment: string, component: Option.Option<string>, follow: boolean) =>
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
      const show = Effect.gen(function*() {
        for (const [name, file] of wanted) {
          let isFirst = true
          for (const part of partsOf(file, shown.get(file) ?? 0)) {
            if (isFirst && wanted.length > 1) yield* print(`== ${name}: ${file}`)
            isFirst = false
            yield* write(part)
            shown.set(file, (shown.get(file) ?? 0) + part.length)
          }
        }
      })
      yield* follow ? Effect.repeat(show, Schedule.spaced("250 millis")) : show
    })
  )

const open = (deployment: string | undefined, json: boolean) =>
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
  )

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

/** Without a name: the only one. */
const find = (provider: Provider, name: string | undefined) =>
  Effect.flatMap(provider.list, (all) => {
    const found = name === undefined && all.length === 1
      ? all[0]
      : all.find((one) => one.name === name || one.id === name)
    const what = name === undefined ? "only deployment: name one" : `deployment ${name}`
    return found === undefined
      ? new NotFound({ what, there: all.map(({ name }) => name) })
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
    })).pipe(Effect.catchAll(() => say("No browser could be started.")))

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
