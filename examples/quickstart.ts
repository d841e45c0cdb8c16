/**
 * Leases an Airflow, runs a DAG on it, prints the task's log and releases the Airflow. Then does the same again, to show how much time
 * the kept deployment saves. `npm start -- --help` shows what it can be run against.
 */
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { AirflowResource, AirflowResources, DeploymentPool, Settings } from "airflow-resource"
import { Cause, Clock, Console, Duration, Effect, Exit, Layer, Logger, LogLevel, Option, Ref } from "effect"
import path from "node:path"
import { parseArgs } from "node:util"

const usage = `npm start [-- --provider PROVIDER]

Leases an Airflow twice, runs the DAG examples/dags/hello_world_dag.py on it, and shows how long each step took.

  --provider local     a real Airflow on this machine; needs Python 3.10 to 3.13, and installs Airflow from PyPI the first time
  --provider emulator  an Airflow that is emulated; needs nothing
  --provider api       Astro over REST; needs an account: npx airflow-resource doctor says which variables to set
  --provider cli       Astro through the astro CLI; likewise

Without it: local if this machine can, else emulator.
`
const providers = ["local", "emulator", "api", "cli"]

/** Which provider the arguments name. Prints the usage and ends this process if they ask for it, or are wrong. */
const provided = () => {
  const wrong = (problem: string) => {
    process.stderr.write(`${problem}\n\n${usage}`)
    process.exit(2)
  }
  try {
    const { help, provider } = parseArgs({
      options: { help: { type: "boolean", short: "h" }, provider: { type: "string" } }
    }).values
    if (help === true) {
      process.stdout.write(usage)
      process.exit(0)
    }
    return provider === undefined || providers.includes(provider)
      ? provider
      : wrong(`There is no provider "${provider}".`)
  } catch (error) {
    return wrong((error as Error).message)
  }
}

const dagId = "hello_world_dag"
const speed = 60

/** The DAGs of the emulated Airflow. Change the text of the log, and the output changes. */
const dags = [{
  dagId,
  tasks: [{ taskId: "hello", duration: "3 seconds" as const, log: "Hello World from Airflow" }]
}]

// the DAG of a local Airflow is a file in `examples/dags`
process.env["AIRFLOW_DAG_PATH"] ??= path.join(import.meta.dirname, "dags")

/** Why this machine cannot run an Airflow, if so. */
const noLocalAirflow = Effect.gen(function*() {
  const settings = yield* Settings.load(process.cwd())
  yield* Effect.scoped(Layer.build(AirflowResources.layerPool(settings)))
}).pipe(
  Effect.provide(NodeContext.layer),
  Effect.match({ onFailure: ({ message }) => message, onSuccess: () => undefined })
)

const asked = provided()
process.env["AIRFLOW_RESOURCE_PROVIDER"] = asked ?? "local"
const reason = asked === undefined ? await Effect.runPromise(noLocalAirflow) : undefined
if (reason !== undefined) {
  process.stdout.write(`No Airflow can run on this machine, so this is the emulator. ${reason}\n`)
}
const provider = reason === undefined ? asked ?? "local" : "emulator"
process.env["AIRFLOW_RESOURCE_PROVIDER"] = provider
const emulated = provider === "emulator"
if (asked === undefined && provider === "local") {
  process.stdout.write("This is a real Airflow on this machine (--provider emulator needs no Python).\n")
}

type Step = { readonly activity: string; readonly at: number }

/** One lease from beginning to end, and its steps. */
const lease = (title: string) =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis
    const steps = yield* Ref.make<ReadonlyArray<Step>>([])
    const record = (step: Step) =>
      Effect.zipRight(
        Ref.update(steps, (all) => [...all, step]),
        Console.log(`  ${seconds(step.at - startedAt).padStart(7)}  ${step.activity}`)
      )
    yield* Console.log(`\n${title}`)
    const reused = yield* AirflowResource.use({ testName: `quickstart: ${title}`, onProgress: record }, (resource) =>
      Effect.gen(function*() {
        const { airflow } = resource
        const step = Effect.fn(function*(activity: string) {
          yield* record({ activity, at: yield* Clock.currentTimeMillis })
        })
        yield* step(
          `leased ${resource.deploymentName} (${resource.reused}, epoch ${resource.epoch}): ${resource.apiUrl}`
        )
        const runId = yield* airflow.unpauseAndTriggerAirflowDag(dagId)
        yield* step(`running ${dagId}`)
        yield* airflow.verifyDagIdRan(dagId, runId)
        const tasks = yield* airflow.checkDagTaskInstances(dagId, runId)
        for (const { taskId } of tasks) {
          const log = yield* airflow.getTaskInstanceLogs(dagId, runId, taskId)
          yield* Console.log(
            log.trim().split("\n").map((line) =>
              `           | ${line}`
            ).join("\n")
          )
        }
        yield* step("the test has ended")
        return resource.reused
      }))
    yield* record({ activity: "released", at: yield* Clock.currentTimeMillis })
    return { title, reused, startedAt, steps: yield* Ref.get(steps) }
  })

const seconds = (millis: number) => `${(millis / 1000).toFixed(1)} s`
const onAstro = (millis: number) => emulated ? Duration.format(Duration.seconds(Math.round(millis * speed / 1000))) : ""

/** How long the name of a step may be in the overview. */
const longest = 42
const label = (text: string) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text).padEnd(longest)

type Lease = Effect.Effect.Success<ReturnType<typeof lease>>

/** How long the steps of each lease took. */
const timeline = (leases: ReadonlyArray<Lease>) => {
  const lines = leases.flatMap(({ reused, startedAt, steps, title }) => {
    const end = steps.at(-1)?.at ?? startedAt
    const total = end - startedAt
    const rows = steps.slice(0, -1).map((step, index) => {
      const took = (steps[index + 1]?.at ?? end) - step.at
      return { activity: step.activity.split(/:| \(/)[0] ?? "", offset: step.at - startedAt, took }
    })
    return [
      `\n${title} (${reused})${" ".repeat(Math.max(1, longest + 22 - title.length - reused.length))}here${
        emulated ? "   at Astro's pace" : ""
      }`,
      ...rows.filter(({ took }) => took >= total / 100).map(({ activity, offset, took }) => {
        const from = Math.round(offset / total * 20)
        const width = Math.max(1, Math.round(took / total * 20))
        const bar = `${" ".repeat(from)}${"█".repeat(width)}`.slice(0, 21).padEnd(21)
        return `  ${bar} ${label(activity)} ${seconds(took).padStart(7)}   ${onAstro(took)}`
      }),
      `  ${" ".repeat(21)} ${label("total")} ${seconds(total).padStart(7)}   ${onAstro(total)}`
    ]
  })
  const [first, second] = leases.map(({ startedAt, steps }) => (steps.at(-1)?.at ?? startedAt) - startedAt)
  const saved = (first ?? 0) - (second ?? 0)
  return [
    ...lines,
    ...(saved > 0
      ? [
        "",
        `Reusing the deployment saved ${seconds(saved)}${
          emulated ? `, which is ${onAstro(saved)} at Astro's pace` : ""
        }.`
      ]
      : [])
  ].join("\n")
}

const program = Effect.gen(function*() {
  const created = yield* lease("The first lease")
  if (emulated) {
    yield* Console.log("\n(a minute passes at Astro's pace, until the deployment hibernates)")
    yield* Effect.sleep(Duration.seconds(60 / speed))
  }
  const woken = yield* lease("The second lease")
  yield* Console.log(timeline([created, woken]))
  const pool = yield* DeploymentPool.DeploymentPool
  const slots = (yield* pool.inspect).slots
  const hibernating = slots.filter((slot) => slot.holder === null && slot.power === "asleep")
  yield* Console.log(
    `Kept for the next lease: ${slots.length} deployment(s), of which ${hibernating.length} hibernate.`
  )
  const emulator = yield* Effect.serviceOption(Emulator.Emulator)
  if (Option.isSome(emulator)) {
    const { awake, tokens } = yield* emulator.value.audit
    yield* Console.log(
      `The emulated Astro reports ${awake.length} awake deployments and ${tokens.length} remaining tokens.`
    )
  }
})

const layer = emulated
  ? AirflowResources.layerEmulator({ emulator: { speed, dags } })
  : AirflowResources.layerFromEnv

process.once("SIGINT", () => process.stderr.write("\nInterrupted: the Airflow is given back, which takes a moment.\n"))

program.pipe(
  Effect.provide(layer),
  // onProgress prints the steps already
  Logger.withMinimumLogLevel(LogLevel.Warning),
  // the message of a typed error says what to do next; a stack adds nothing
  Effect.catchAll((error) => Effect.zipRight(Console.error(`\n${error.message}`), Effect.fail(error))),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, end) => end(Exit.isSuccess(exit) ? 0 : Cause.isInterruptedOnly(exit.cause) ? 130 : 1)
  })
)
