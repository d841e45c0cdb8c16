import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type { LeasedSlot } from "@airflow-resource/core/LeasedSlot"
import { Option } from "commander"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { oneLine } from "../text.js"
import { documented, print, say } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Progress from "./progress.js"
import * as Signals from "./signals.js"
import * as Usage from "./usage.js"

/** The pool may not have so many deployments. */
export class AboveMaximum extends Schema.TaggedError<AboveMaximum>("airflow-resource/AboveMaximum")("AboveMaximum", {
  count: Schema.Number,
  max: Schema.Number
}) {
  override get message(): string {
    return `The pool has ${this.max} deployments at most, so ${this.count} cannot be kept awake. ` +
      "Ask for fewer, or set AIRFLOW_RESOURCE_MAX to more."
  }
}

/** Leases would not leave their deployments awake. */
export class NoUpkeep extends Schema.TaggedError<NoUpkeep>("airflow-resource/NoUpkeep")("NoUpkeep", {}) {
  override get message(): string {
    return "No upkeep became active on this machine, so nothing would keep deployments awake. " +
      "`airflow-resource status` names the reaper's log, which says why."
  }
  readonly retryable = true
}

export const warm: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("warm"), "print one line of JSON when they are ready")
    .summary("keep deployments awake for tests to come")
    .description(
      "Makes sure that a number of deployments are awake and empty, prints them, and keeps them awake for the tests of " +
        "other processes, until a signal arrives or the time is over. Then it hibernates those that are free."
    )
    .argument(
      "<count>",
      "how many",
      Usage.number((count) => Number.isInteger(count) && count > 0, "a whole number above 0")
    )
    .addOption(
      new Option("--for <duration>", "for how long, 7 days at most")
        .argParser(Usage.someTime).default(Duration.hours(1), "1 hour")
    )
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource warm 2", `airflow-resource warm 2 --for "8 hours"`],
        exitCodes: { 0: "done: the time is over, or a signal arrived", 130: "interrupted before they were ready" }
      })
    )
    .action((count: number, { for: time, ...format }: Usage.Format & { readonly for: Duration.Duration }) =>
      run(
        Effect.flatMap(documented(Usage.isJson(format))(sharedPool), (layer) =>
          keepWarm(count, time, Usage.isJson(format)).pipe(
            Effect.provide(layer),
            Effect.provide(Progress.logger)
          )),
        { AboveMaximum: 2 }
      )
    )

// internal

const keepWarm = (count: number, time: Duration.Duration, asJson: boolean) =>
  Effect.gen(function*() {
    const ready = yield* documented(asJson)(Effect.gen(function*() {
      const pool = yield* DeploymentPool
      const { rules: { max } } = yield* pool.inspect
      if (count > max) return yield* new AboveMaximum({ count, max })
      // longer than the run may last; it ends with this process, whatever happens
      yield* pool.upkeep({ hibernateAfter: "8 days" })
      yield* awaitUpkeep
      return yield* Effect.scoped(leaseAll(count))
    }))
    const signalled = yield* Deferred.make<void>()
    yield* Signals.handle(() => Deferred.unsafeDone(signalled, Effect.void))
    const until = DateTime.formatIso(DateTime.unsafeMake((yield* Clock.currentTimeMillis) + Duration.toMillis(time)))
    yield* print(asJson ? JSON.stringify({ deployments: ready, until }) : render(ready, until))
    yield* Effect.timeoutOption(Deferred.await(signalled), time)
    yield* say("hibernating the deployments that are free …")
  }).pipe(Effect.scoped, Effect.zipRight(sayWhatStays))

/** Of several runs, the last one to end hibernates. */
const sayWhatStays = Effect.gen(function*() {
  const { cache, inspect } = yield* DeploymentPool
  const { rules } = yield* inspect
  const { run } = yield* cache.outlook(rules)
  if (run !== undefined) {
    yield* say(`process ${run.owner.pid} wants deployments awake as well: they are hibernated when it has ended`)
  }
})

/** A lease leaves its deployment awake only to an upkeep that is active. */
const awaitUpkeep = Effect.gen(function*() {
  const { cache, inspect } = yield* DeploymentPool
  const { rules } = yield* inspect
  yield* Effect.repeat(cache.outlook(rules), {
    until: ({ run, upkeep }) => run !== undefined && upkeep !== undefined,
    schedule: Schedule.spaced("200 millis")
  }).pipe(
    Effect.withTracerEnabled(false),
    Effect.timeoutFail({ duration: "1 minute", onTimeout: () => new NoUpkeep() })
  )
})

/** All at the same time, so that they are different ones; each is awake and was verified to be empty. */
const leaseAll = (count: number) =>
  Effect.gen(function*() {
    const { acquire } = yield* DeploymentPool
    const slots = yield* Effect.forEach(
      Array.from({ length: count }, (_, index) => `${index + 1} of ${count}`),
      (which) =>
        acquire({
          label: `airflow-resource warm (${which})`,
          onProgress: ({ activity }) => say(oneLine(`${which}: ${activity}`))
        }),
      { concurrency: "unbounded" }
    )
    return slots.map(factsOf).sort((a, b) => a.name < b.name ? -1 : 1)
  })

const factsOf = ({ airflow: { baseUrl }, deployment: { id, name, uiUrl } }: LeasedSlot) => ({
  name,
  id: id as string,
  baseUrl,
  uiUrl
})

const render = (deployments: ReadonlyArray<ReturnType<typeof factsOf>>, until: string) =>
  [
    ...deployments.map(({ name, uiUrl }) => `${name}  ${uiUrl}`),
    "",
    `${deployments.length === 1 ? "It stays" : "They stay"} awake for tests until ${
      until.slice(0, 19).replace("T", " ")
    } UTC, or until you press Ctrl-C.`
  ].join("\n")
