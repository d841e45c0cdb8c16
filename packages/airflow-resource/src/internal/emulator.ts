/** An emulator for other processes: what they are told of it, and a home in which the astro CLI finds it. */
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import type { AstroConfig } from "@airflow-resource/astro/AstroConfig"
import * as AstroPrerequisites from "@airflow-resource/astro/AstroPrerequisites"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** The folder is not one that the astro CLI's config may be written to. */
export class AstroHomeRefused
  extends Schema.TaggedError<AstroHomeRefused>("airflow-resource/AstroHomeRefused")("AstroHomeRefused", {
    folder: Schema.String,
    problem: Schema.String
  })
{
  override get message(): string {
    return `${this.folder} cannot be the astro CLI's home: ${this.problem}. Nothing was touched. ` +
      `Name another folder with --astro-home: it is made where it is missing.`
  }
}

export type Shown = Effect.Effect.Success<ReturnType<typeof start>>

/** Lives as long as the scope, and has answered by the time that it is shown. */
export const start = ({ astroHome, ...options }: {
  readonly port: number
  readonly seed: number
  readonly speed: number
  readonly astroHome: Option.Option<string>
}) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make(options)
    const { organizationId } = emulator
    const account: AstroConfig = {
      apiUrl: emulator.astroApiUrl,
      token: emulator.astroToken,
      workspaceId: emulator.workspaceId,
      organizationId: Option.some(organizationId)
    }
    // no proxy leads to loopback
    const offers = Effect.provide(FetchHttpClient.layer)
    const runtimeVersions = yield* offers(AstroPrerequisites.runtimeVersions(account, organizationId))
    const regions = yield* offers(AstroPrerequisites.regions(account, organizationId))
    const home = yield* Effect.transposeMapOption(astroHome, (folder) => writeHome(folder, account))
    return {
      url: emulator.url,
      astroApiUrl: emulator.astroApiUrl,
      githubApiUrl: emulator.githubApiUrl,
      organizationId,
      workspaceId: emulator.workspaceId,
      astroToken: Redacted.value(emulator.astroToken),
      githubToken: Redacted.value(emulator.githubToken),
      repository: emulator.repository,
      runtimeVersions,
      regions,
      speed: options.speed,
      seed: options.seed,
      astroHome: Option.getOrNull(home)
    }
  })

/** What the library reads, and ASTRO_HOME for the astro CLI. */
export const variables = (shown: Shown): Record<string, string> => {
  const [region] = shown.regions
  return {
    AIRFLOW_RESOURCE_PROVIDER: "api",
    ASTRO_API_URL: shown.astroApiUrl,
    ASTRO_ACCESS_TOKEN: shown.astroToken,
    ASTRO_ORGANIZATION_ID: shown.organizationId,
    ASTRO_WORKSPACE_ID: shown.workspaceId,
    ASTRO_CLOUD_PROVIDER: region?.cloudProvider ?? "",
    ASTRO_REGION: region?.region ?? "",
    ASTRO_RUNTIME_VERSION: shown.runtimeVersions[0] ?? "",
    GITHUB_API_URL: shown.githubApiUrl,
    AIRFLOW_GITHUB_TOKEN: shown.githubToken,
    AIRFLOW_REPO: shown.repository,
    ...(shown.astroHome === null ? {} : { ASTRO_HOME: shown.astroHome })
  }
}

/** For a POSIX shell's `eval`. */
export const exports = (shown: Shown): string =>
  Object.entries(variables(shown)).map(([name, value]) => `export ${name}=${quoted(value)}`).join("\n")

export const render = (shown: Shown): string =>
  `Astro, GitHub and Airflow, emulated, ${pace(shown.speed)}. Ctrl-C ends it.

Astro    ${shown.astroApiUrl}/v1
GitHub   ${shown.githubApiUrl}
runtime  ${shown.runtimeVersions.join(", ")}
region   ${shown.regions.map(({ cloudProvider, region }) => `${cloudProvider} ${region}`).join(", ")}

In another shell, for the library and for what is below:

${exports(shown)}

npx airflow-resource status
curl -H "Authorization: Bearer $ASTRO_ACCESS_TOKEN" "$ASTRO_API_URL/v1/organizations"
${
    shown.astroHome === null
      ? "The astro CLI works against it too: start this with --astro-home FOLDER."
      : "astro deployment list"
  }`

// internal

const pace = (speed: number) => speed === 1 ? "as slow as the real ones" : `${speed} times as fast as the real ones`

const quoted = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`

/** What is not ours is never written over; what is goes with the scope. Answers the folder's whole path. */
const writeHome = (folder: string, account: AstroConfig) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const home = path.resolve(folder)
    const config = path.join(home, ".astro", "config.yaml")
    const text = `${mark}\n${AstroCli.configText(account)}`
    const refuse = (problem: string) => new AstroHomeRefused({ folder: home, problem })
    yield* Effect.gen(function*() {
      for (const place of [home, path.dirname(config)]) {
        if ((yield* fs.exists(place)) && (yield* fs.stat(place)).type !== "Directory") {
          return yield* refuse(`${place} is not a folder`)
        }
      }
      yield* fs.makeDirectory(path.dirname(config), { recursive: true, mode: 0o700 })
      if (yield* fs.exists(config)) {
        const there = yield* fs.readFileString(config)
        if (!there.startsWith(mark)) return yield* refuse(`${config} was written by somebody else`)
        yield* fs.remove(config)
      }
      yield* Effect.acquireRelease(
        fs.writeFileString(config, text, { flag: "wx", mode: 0o600 }),
        () =>
          fs.readFileString(config).pipe(
            Effect.flatMap((there) => there === text ? fs.remove(config) : Effect.void),
            Effect.ignore
          )
      )
    }).pipe(Effect.catchTags({
      BadArgument: ({ message }) => refuse(message),
      SystemError: ({ message }) => refuse(message)
    }))
    return home
  })

const mark = "# of an emulator that airflow-resource started, and gone with it"
