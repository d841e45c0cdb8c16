/** Checks everything that a lease needs, and says what to do about what is missing. */
import * as DeploymentPool from "@airflow-resource/core/DeploymentPool"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import type { ConfigurationError } from "../../ConfigurationError.js"
import * as Http from "../../Http.js"
import * as Settings from "../../Settings.js"
import * as Environment from "../environment.js"
import * as Paths from "../paths.js"
import * as Project from "../project.js"
import { oneLine } from "../text.js"
import * as Variables from "../variables.js"
import * as Checks from "./checks.js"
import * as Verdict from "./verdict.js"

/** At least one check failed. */
export class NotReady extends Schema.TaggedError<NotReady>("airflow-resource/NotReady")("NotReady", {
  failed: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Not ready for a lease: ${this.failed.join(", ")}.`
  }
}

export interface Line extends Verdict.Verdict {
  readonly check: string
}

/** Runs all checks at once. Returns them in the order in which they build on each other. */
export const examine = (from: string) =>
  Effect.gen(function*() {
    const environment = yield* Environment.find(from)
    const problems = Either.match(yield* Effect.either(Settings.load(from)), {
      onLeft: ({ problems }) => problems,
      onRight: () => []
    })
    return yield* Effect.withConfigProvider(
      Effect.flatMap(checksOf(environment, problems), run),
      environment.variables
    )
  }).pipe(
    // without its .env, nothing else is known about the project
    Effect.catchTag("ConfigurationError", ({ problems }) => run(ofMachine(problems))),
    Effect.scoped,
    Effect.provide([Http.layer, ProcessRunner.layer])
  )

const ofMachine = (problems: ConfigurationError["problems"]) => ({
  node: Effect.succeed(Checks.node(process.versions.node)),
  configuration: Effect.succeed(Checks.configuration(problems))
})

/** The checks of this machine and of the project, then those of the provider and of the delivery. */
const checksOf = (environment: Environment.Environment, problems: ConfigurationError["problems"]) =>
  Effect.gen(function*() {
    const ofProject = {
      project: Checks.project(environment.root),
      cache: Verdict.given(Paths.cacheFile(environment), Checks.cache),
      reaper: Verdict.given(
        Config.all({ cache: Paths.cacheFile(environment), upkeep: Variables.upkeep }),
        ({ cache, upkeep }) => Effect.succeed(Checks.reaper(upkeep.reaper === "on", cache))
      )
    }
    const chosen = yield* Effect.option(Variables.provider)
    if (Option.isNone(chosen)) {
      return { ...ofMachine(problems), ...ofProject, provider: notChecked("AIRFLOW_RESOURCE_PROVIDER") }
    }
    const provider = chosen.value
    const delivery = yield* Effect.option(Variables.delivery(provider))
    const pool = yield* Effect.orElseSucceed(Settings.pool, () => DeploymentPool.defaults)
    const ofProvider = yield* provider.checks({
      project: Project.of(environment),
      delivery: Option.getOrUndefined(Option.map(delivery, ({ tag }) => tag)),
      fence: pool.fence,
      longestLease: Duration.sum(Duration.decode(pool.acquireTimeout), Duration.decode(pool.maxHold))
    })
    const ofDelivery = Option.match(delivery, {
      onNone: () => ({ delivery: notChecked("AIRFLOW_RESOURCE_DELIVERY") }),
      onSome: ({ checks }) => checks({ dags: Paths.dags(environment) })
    })
    return { ...ofMachine(problems), ...(provider.isShared ? ofProject : {}), ...ofProvider, ...ofDelivery }
  })

const notChecked = (variable: string) => Effect.succeed(Verdict.skip(`not checked without ${variable}`))

/** Returns the verdicts in the order of the record. */
export const run = <R>(checks: Readonly<Record<string, Verdict.Check<R>>>) =>
  Effect.forEach(
    Object.entries(checks),
    ([name, check]) =>
      check.pipe(
        Effect.timeoutTo({
          duration: timeout,
          onSuccess: (verdict) => verdict,
          onTimeout: () => Verdict.failed(Verdict.noResponse(timeout))
        }),
        Effect.map((verdict): Line => ({ check: name, ...verdict }))
      ),
    { concurrency: "unbounded" }
  )

export const render = (lines: ReadonlyArray<Line>): string => {
  const width = Math.max(...lines.map(({ check }) => check.length))
  const margin = " ".repeat(width + 8)
  return lines.flatMap(({ check, remedy, says, state }) => [
    `${state}  ${check.padEnd(width)}  ${oneLine(says)}`,
    ...(remedy ?? "").split("\n").flatMap((line, index) =>
      line === "" ? [] : [`${margin}${index === 0 ? "→ " : "  "}${oneLine(line)}`]
    )
  ]).join("\n")
}

export const report = (checks: ReadonlyArray<Line>) => ({
  ready: checks.every(({ state }) => state !== "fail"),
  checks
})

/** Fails if a check failed. */
export const judge = (lines: ReadonlyArray<Line>): Effect.Effect<void, NotReady> => {
  const failed = lines.flatMap(({ check, state }) => state === "fail" ? [check] : [])
  return failed.length === 0 ? Effect.void : new NotReady({ failed })
}

// internal

/** Of each check. */
const timeout = Duration.seconds(20)
