/** Runs an emulator for other processes: prints how to reach it, and prepares a home in which the astro CLI finds it. */
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import type { AstroConfig } from "@airflow-resource/astro/AstroConfig"
import * as Emulator from "@airflow-resource/emulator/Emulator"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as DagFile from "./dagFile.js"
import { variables } from "./provider/emulator.js"

/** The folder cannot become the astro CLI's home. */
export class AstroHomeRefused
  extends Schema.TaggedError<AstroHomeRefused>("airflow-resource/AstroHomeRefused")("AstroHomeRefused", {
    folder: Schema.String,
    problem: Schema.String
  })
{
  override get message(): string {
    return `${this.folder} cannot be the astro CLI's home: ${this.problem}. Nothing was changed. ` +
      `Name another folder with --astro-home; it is created if it does not exist.`
  }
}

export type Emulated = Effect.Effect.Success<ReturnType<typeof start>>

/** Starts an emulator that lives until the scope closes, and returns how to reach it. */
export const start = ({ astroHome, dagFile, ...options }: {
  readonly port: number
  readonly seed: number
  readonly speed: number
  readonly astroHome: Option.Option<string>
  /** A file with the DAGs that it has instead of `hello_world_dag`. */
  readonly dagFile: Option.Option<string>
}) =>
  Effect.gen(function*() {
    const dags = yield* Effect.transposeMapOption(dagFile, DagFile.read)
    const emulator = yield* Emulator.make({
      ...options,
      ...Option.match(dags, { onNone: () => ({}), onSome: (dags) => ({ dags }) })
    })
    const { astroApiUrl, githubApiUrl, organizationId, regions, repository, runtimeVersions, url, workspaceId } =
      emulator
    const account: AstroConfig = {
      apiUrl: astroApiUrl,
      token: emulator.astroToken,
      workspaceId,
      organizationId: Option.some(organizationId)
    }
    const home = yield* Effect.transposeMapOption(astroHome, (folder) => writeHome(folder, account))
    return {
      facts: {
        url,
        astroApiUrl,
        githubApiUrl,
        organizationId,
        workspaceId,
        astroToken: Redacted.value(emulator.astroToken),
        githubToken: Redacted.value(emulator.githubToken),
        repository,
        runtimeVersions,
        regions,
        speed: options.speed,
        seed: options.seed,
        astroHome: Option.getOrNull(home)
      },
      variables: {
        ...variables(emulator),
        ...Option.match(home, { onNone: () => ({}), onSome: (folder) => ({ ASTRO_HOME: folder }) })
      }
    }
  })

export const asJson = ({ facts }: Emulated): string => JSON.stringify(facts)

/** For a POSIX shell's `eval`. */
export const exports = ({ variables }: Emulated): string =>
  Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`).join("\n")

export const render = (emulated: Emulated): string => {
  const { astroApiUrl, astroHome, githubApiUrl, regions, runtimeVersions, speed } = emulated.facts
  return `An emulator of Astro, GitHub and Airflow, ${pace(speed)}. Ctrl-C ends it.

Astro    ${astroApiUrl}/v1
GitHub   ${githubApiUrl}
runtime  ${runtimeVersions.join(", ")}
region   ${regions.map(({ cloudProvider, region }) => `${cloudProvider} ${region}`).join(", ")}

In another shell, for the library and for the commands below:

${exports(emulated)}

npx airflow-resource status
curl -H "Authorization: Bearer $ASTRO_ACCESS_TOKEN" "$ASTRO_API_URL/v1/organizations"
${
    astroHome === null
      ? "For the astro CLI, start the emulator with --astro-home FOLDER."
      : "astro deployment list"
  }`
}

// internal

const pace = (speed: number) =>
  speed === 1 ? "as slow as the real services" : `${speed} times as fast as the real services`

const quoted = (value: string) => `'${value.replaceAll("'", `'\\''`)}'`

/** Never overwrites a config that no emulator wrote. Deletes its own when the scope closes. Returns the folder's absolute path. */
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
        const existing = yield* fs.readFileString(config)
        if (!existing.startsWith(mark)) return yield* refuse(`${config} exists and was not written by an emulator`)
        yield* fs.remove(config)
      }
      yield* Effect.acquireRelease(
        fs.writeFileString(config, text, { flag: "wx", mode: 0o600 }),
        () =>
          fs.readFileString(config).pipe(
            Effect.flatMap((existing) => existing === text ? fs.remove(config) : Effect.void),
            Effect.ignore
          )
      )
    }).pipe(Effect.catchTags({
      BadArgument: ({ message }) => refuse(message),
      SystemError: ({ message }) => refuse(message)
    }))
    return home
  })

const mark = "# Written by `airflow-resource emulator`, which deletes it at its end."
