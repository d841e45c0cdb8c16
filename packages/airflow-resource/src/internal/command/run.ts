import type { Airflow, DagRun, TaskInstance } from "@airflow-resource/airflow/Airflow"
import { DagImportFailed } from "@airflow-resource/airflow/AirflowError"
import * as TaskLog from "@airflow-resource/airflow/TaskLog"
import { InvalidArgumentError, Option } from "commander"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Options from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import type * as Settings from "../../Settings.js"
import { table } from "../text.js"
import * as Failure from "./failure.js"
import { leased } from "./leased.js"
import { documented, print, say } from "./output.js"
import * as Usage from "./usage.js"

/** The leased Airflow has no such DAG, and none will be delivered. */
export class NoSuchDag extends Schema.TaggedError<NoSuchDag>("airflow-resource/NoSuchDag")("NoSuchDag", {
  dagId: Schema.String,
  there: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `There is no DAG ${this.dagId}. There is: ${this.there.join(", ") || "none"}. ` +
      `Check the name, and that AIRFLOW_DAG_PATH is the folder of its file.`
  }
}

export const run: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("run"))
    .summary("run a DAG in a leased Airflow")
    .description(
      "Leases an Airflow with the project's DAGs, runs one of them, prints the logs of its tasks on stderr while it " +
        "runs and its result on stdout, and gives the Airflow back."
    )
    .argument("<dag-id>", "the DAG", Usage.text)
    .addOption(new Option("--conf <json>", "the run's configuration, a JSON object").argParser(conf).default({}, "{}"))
    .addOption(
      new Option("--timeout <duration>", "how long the run may take")
        .argParser(Usage.someTime).default(Duration.minutes(10), "10 minutes")
    )
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource run hello_world_dag", `airflow-resource run load --conf '{"day": "2026-01-01"}'`],
        exitCodes: {
          "4": "the run failed",
          "5": "there is no such DAG, or its file cannot be imported",
          "6": "the run took too long"
        }
      })
    )
    .action((dagId: string, { conf, timeout, ...format }: Chosen) =>
      run(
        leased(dagId, ({ airflow, deploymentName }, { delivery }) =>
          Effect.gen(function*() {
            yield* ensureLive(airflow, dagId, delivery)
            const { runId } = yield* airflow.trigger(dagId, { conf })
            const ended = yield* followed(airflow, dagId, runId, timeout)
            const result = resultOf(ended, yield* airflow.taskInstances(dagId, runId), deploymentName)
            yield* print(Usage.isJson(format) ? JSON.stringify(result, undefined, 2) : render(result))
            if (result.state !== "success") return yield* new Failure.Exit({ exitCode: 4 })
          })).pipe(documented(Usage.isJson(format))),
        { RunVanished: 4, NoSuchDag: 5, DagImportFailed: 5, DagNotLive: 5, RunStuck: 6 }
      )
    )

// internal

interface Chosen extends Usage.Format {
  readonly conf: Readonly<Record<string, unknown>>
  readonly timeout: Duration.Duration
}

function conf(text: string): Readonly<Record<string, unknown>> {
  const parsed = Options.liftThrowable(JSON.parse)(text)
  if (Options.isNone(parsed) || !Predicate.isRecord(parsed.value) || Array.isArray(parsed.value)) {
    throw new InvalidArgumentError("It must be a JSON object.")
  }
  return parsed.value
}

/** A workflow may deliver the DAG later; otherwise it is there now or never. */
const ensureLive = (airflow: Airflow, dagId: string, delivery: Settings.Delivery) =>
  delivery._tag === "Secrets"
    ? airflow.awaitDag(dagId)
    : Effect.gen(function*() {
      const all = yield* airflow.dags
      if (all.some((dag) => dag.dagId === dagId && dag.isActive && !dag.hasImportErrors)) return
      const file = (yield* airflow.importErrors).find(({ stackTrace, filename }) =>
        path.parse(filename).name === dagId || all.some((dag) =>
          dag.dagId === dagId && dag.fileLocation.endsWith(filename)
        ) ||
        stackTrace.includes(dagId)
      )
      return yield* file === undefined
        ? new NoSuchDag({ dagId, there: all.map((dag) => dag.dagId) })
        : new DagImportFailed({ dagId, ...file })
    })

/** Waits for the end of a run, and prints the logs of its tasks meanwhile. */
const followed = (airflow: Airflow, dagId: string, runId: string, timeout: Duration.Duration) =>
  Effect.gen(function*() {
    const begun = new Set<string>()
    const logs = yield* FiberSet.make<void>()
    const follow = Effect.flatMap(airflow.taskInstances(dagId, runId), (all) =>
      Effect.forEach(all, (task) => {
        if (task.tryNumber === 0 || begun.has(nameOf(task))) return Effect.void
        begun.add(nameOf(task))
        return FiberSet.run(logs, logOf(airflow, task))
      }, { discard: true }))
    const following = yield* Effect.forkScoped(Effect.repeat(Effect.ignore(follow), Schedule.spaced("1 second")))
    const ended = yield* airflow.awaitRun(dagId, runId, { timeout, onState: (state) => say(`${runId}: ${state}`) })
    yield* Fiber.interrupt(following)
    // a log may be a little late
    yield* Effect.timeoutOption(Effect.zipRight(follow, FiberSet.awaitEmpty(logs)), "30 seconds")
    return ended
  }).pipe(Effect.scoped)

const logOf = (airflow: Airflow, task: TaskInstance) =>
  airflow.tailTaskLog(task.dagId, task.runId, task.taskId, { mapIndex: task.mapIndex }).pipe(
    Stream.runForEach((line) => say(`${nameOf(task)}: ${TaskLog.render(line)}`)),
    Effect.catchAll(({ message }) => say(`${nameOf(task)}: ${message}`))
  )

const nameOf = ({ mapIndex, taskId }: TaskInstance) => mapIndex < 0 ? taskId : `${taskId}[${mapIndex}]`

const resultOf = (run: DagRun, tasks: ReadonlyArray<TaskInstance>, deployment: string) => ({
  dagId: run.dagId,
  runId: run.runId,
  state: run.state,
  seconds: secondsOf(run),
  deployment,
  tasks: tasks.map((task) => ({
    task: nameOf(task),
    state: task.state,
    tries: task.tryNumber,
    seconds: secondsOf(task)
  }))
})

const secondsOf = ({ endedAt, startedAt }: Pick<DagRun, "startedAt" | "endedAt">) =>
  Options.getOrNull(Options.zipWith(
    startedAt,
    endedAt,
    (from, to) => Duration.toSeconds(DateTime.distanceDuration(from, to))
  ))

const render = ({ dagId, runId, seconds, state, tasks }: ReturnType<typeof resultOf>) => {
  const took = (seconds: number | null) => seconds === null ? "" : `${seconds.toFixed(1)} s`
  return [
    `${dagId} ${state}${seconds === null ? "" : ` in ${took(seconds)}`} (${runId})`,
    table(tasks.map((task) => ["", task.task, task.state, took(task.seconds)]))
  ].join("\n")
}
