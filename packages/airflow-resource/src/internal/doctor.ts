/** Whether everything is there that a lease needs, and what to do about what is not. */
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as AstroPrerequisites from "@airflow-resource/astro/AstroPrerequisites"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import * as GithubConfig from "@airflow-resource/github/GithubConfig"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as process from "node:process"
import * as Http from "../Http.js"
import * as ProjectRoot from "../ProjectRoot.js"
import * as Settings from "../Settings.js"
import * as Checks from "./checks.js"
import * as Environment from "./environment.js"
import { oneLine } from "./text.js"

/** Something has to be done first. */
export class NotReady extends Schema.TaggedError<NotReady>("airflow-resource/NotReady")("NotReady", {
  failed: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Not ready for a lease: ${this.failed.join(", ")}.`
  }
}

export interface Line extends Checks.Verdict {
  readonly check: string
}

/** All of them at once, each with a deadline of its own; shown in the order in which they build on each other. */
export const examine = (from: string) =>
  Effect.gen(function*() {
    const found = yield* read(from)
    const { astro, bin, cache, delivery, given, github, pool, problems, provider, root, settings, spec } = found
    const node = Effect.succeed(Checks.node(process.versions.node))
    if (provider === "emulator") {
      const enough = Checks.pass("AIRFLOW_RESOURCE_PROVIDER is emulator: nothing else is needed")
      return yield* run({ node, configuration: Effect.succeed(enough) })
    }
    const { ahead, http } = Checks.watchClock(yield* HttpClient.HttpClient)
    const asking = Effect.provideService(HttpClient.HttpClient, http)
    const organization = yield* Effect.cached(
      asking(AstroPrerequisites.organization(astro)).pipe(
        Effect.timeoutFail({ duration: organizationDeadline, onTimeout: () => silent(organizationDeadline) })
      )
    )

    const needing = <R>(variables: ReadonlyArray<string>, check: Effect.Effect<Checks.Verdict, never, R>) => {
      const missing = variables.find((name) => !given(name))
      return missing === undefined ? check : Effect.succeed(Checks.skip(`not looked at without ${missing}`))
    }
    const within = <R>(
      variables: ReadonlyArray<string>,
      check: (organizationId: string) => Effect.Effect<Checks.Verdict, never, R | HttpClient.HttpClient>
    ) =>
      needing(
        ["ASTRO_ACCESS_TOKEN", ...variables],
        Effect.matchEffect(organization, {
          onFailure: () => Effect.succeed(Checks.skip("not looked at without the organization")),
          onSuccess: ({ id }) => asking(check(id))
        })
      )
    const deploys = delivery === "astro"

    return yield* run({
      node,
      configuration: Effect.succeed(Checks.configuration(problems)),
      project: Checks.project(root),
      ...(deploys && Option.isSome(settings) ? { DAGs: Checks.dags(settings.value.dags) } : {}),
      cache: Either.match(cache, {
        onLeft: () => Effect.succeed(Checks.skip("not looked at without AIRFLOW_RESOURCE_CACHE")),
        onRight: Checks.cache
      }),
      "astro CLI": provider === "api"
        ? Effect.succeed(Checks.skip("not needed: AIRFLOW_RESOURCE_PROVIDER is api"))
        : needing(
          ["AIRFLOW_RESOURCE_PROVIDER"],
          Checks.cli(astro, { bin: Option.getOrUndefined(bin), deploys, asks: given("ASTRO_ACCESS_TOKEN") })
        ),
      credentials: needing(["ASTRO_ACCESS_TOKEN"], Checks.credentials(astro.token, pool.longest)),
      ...Option.match(Option.filter(pool.shared, (token) => !Equal.equals(token, astro.token)), {
        onNone: () => ({}),
        onSome: (token) => ({ ASTRO_API_TOKEN: Checks.credentials(token, pool.longest) })
      }),
      organization: needing(["ASTRO_ACCESS_TOKEN"], Checks.organization(organization)),
      workspace: within(["ASTRO_WORKSPACE_ID"], (id) => Checks.workspace(astro, id)),
      rights: within(["ASTRO_WORKSPACE_ID"], (id) =>
        Checks.rights(astro, id, { fence: pool.fence, isShared: Option.isSome(pool.shared) })),
      runtime: within(["ASTRO_RUNTIME_VERSION"], (id) =>
        Checks.runtime(astro, id, spec)),
      region: within(["ASTRO_CLOUD_PROVIDER", "ASTRO_REGION"], (id) => Checks.region(astro, id, spec)),
      clock: needing(
        ["ASTRO_ACCESS_TOKEN"],
        Effect.zipRight(Effect.exit(organization), Effect.map(ahead, Checks.clock))
      ),
      GitHub: needing(
        ["AIRFLOW_RESOURCE_DELIVERY", "AIRFLOW_GITHUB_TOKEN", "AIRFLOW_REPO"],
        Option.match(github, {
          onNone: () => Effect.succeed(Checks.skip(`not needed: AIRFLOW_RESOURCE_DELIVERY is ${delivery}`)),
          onSome: Checks.github
        })
      )
    })
  }).pipe(Effect.scoped, Effect.provide([Http.layer, ProcessRunner.layer]))

/** In the order of the record. */
export const run = <R>(checks: Readonly<Record<string, Effect.Effect<Checks.Verdict, never, R>>>) =>
  Effect.forEach(
    Object.entries(checks),
    ([check, look]) =>
      look.pipe(
        Effect.timeoutTo({
          duration: deadline,
          onSuccess: (verdict) => verdict,
          onTimeout: () => Checks.refused(silent(deadline))
        }),
        Effect.map((verdict): Line => ({ check, ...verdict }))
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

/** Fails where one of them did. */
export const judge = (lines: ReadonlyArray<Line>): Effect.Effect<void, NotReady> => {
  const failed = lines.flatMap(({ check, state }) => state === "fail" ? [check] : [])
  return failed.length === 0 ? Effect.void : new NotReady({ failed })
}

// internal

const deadline = Duration.seconds(20)
/** Less, so that what builds on it says so. */
const organizationDeadline = Duration.seconds(15)

const silent = (after: Duration.Duration) => ({
  detail: `no answer within ${Duration.format(after)}`,
  remedy: "Is the network up, and are proxies right (HTTPS_PROXY)? Then try again."
})

/** What there is of the environment; in place of what is missing or malformed stands something that nobody asks with. */
const read = (from: string) =>
  Effect.gen(function*() {
    const root = yield* ProjectRoot.find(from)
    const environment = yield* Environment.provider(root)
    const settings = yield* Effect.either(Settings.load(from))
    const problems = Either.match(settings, { onLeft: ({ problems }) => problems, onRight: () => [] })
    const blank = ConfigProvider.fromMap(
      new Map(problems.map(({ variable }) => [variable, variable === "ASTRO_CLOUD_PROVIDER" ? "aws" : "?"]))
    )
    const of = <A>(config: Config.Config<A>) => ConfigProvider.orElse(blank, () => environment).load(config)
    const delivery = yield* of(Config.withDefault(Config.string("AIRFLOW_RESOURCE_DELIVERY"), "secrets"))
    const pool = yield* Effect.option(of(Settings.pool))
    return {
      root,
      problems,
      given: (name: string) => !problems.some(({ variable }) => variable === name),
      settings: Either.getRight(settings),
      provider: yield* Effect.orElseSucceed(Settings.provider(from), () => "cli" as const),
      delivery,
      astro: yield* of(AstroConfig.config),
      bin: yield* of(AstroConfig.bin),
      spec: yield* of(AstroConfig.spec),
      github: delivery === "secrets" ? yield* Effect.asSome(of(GithubConfig.config)) : Option.none(),
      cache: yield* Effect.either(Settings.cache(from)),
      pool: Option.match(pool, {
        onNone: () => ({ fence: "auto" as const, shared: Option.none(), longest: Duration.minutes(75) }),
        onSome: ({ acquireTimeout, apiToken, fence, maxHold }) => ({
          fence,
          shared: apiToken,
          longest: Duration.sum(Duration.decode(acquireTimeout), Duration.decode(maxHold))
        })
      })
    }
  })
