/** The checks of this machine and of the project, which do not depend on the delivery. */
import * as AstroCliVersion from "@airflow-resource/astro/AstroCliVersion"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type ConfigurationError, isAccountMissing, withoutAccount } from "../../ConfigurationError.js"
import { logOf } from "../reaper/log.js"
import type { Verdict } from "./verdict.js"
import { fail, pass, warn } from "./verdict.js"

export const node = (version: string): Verdict =>
  AstroCliVersion.isBefore(version, [20, 19])
    ? fail(`${version}, but 20.19 or newer is needed`, "Update Node.js (https://nodejs.org).")
    : pass(version)

export const configuration = (problems: ConfigurationError["problems"]): Verdict =>
  problems.length === 0
    ? pass("complete")
    : fail(
      problems.map(({ problem, variable }) => `${variable} ${problem}`).join("; "),
      [
        "Set or correct in the environment, or in a .env file in the project's root:",
        ...problems.map(({ meaning, variable }) => `${variable}: ${meaning}`),
        ...(isAccountMissing(problems) ? [withoutAccount] : [])
      ].join("\n")
    )

export const project = (root: Option.Option<string>) =>
  Option.match(root, {
    onNone: () =>
      Effect.succeed(warn(
        "no project: no .git and no package.json in this folder or above it",
        "Run the command inside the project: paths are relative to its root, and its .env is read."
      )),
    onSome: (folder) =>
      Effect.map(exists(`${folder}/.env`), (hasDotEnv) => pass(hasDotEnv ? `${folder}, with a .env` : folder))
  })

export const cache = (path: string) =>
  SqliteDeploymentCache.inspect(path).pipe(Effect.match({
    onFailure: ({ detail, remedy }) => fail(`${path}: ${detail}`, remedy),
    onSuccess: Option.match({
      onNone: () => pass(`${path}; the first lease creates it`),
      onSome: (schema) => pass(`${path}, schema ${schema}`)
    })
  }))

export const reaper = (isOn: boolean, cache: string) =>
  isOn
    ? pass(`on; its log is ${logOf(cache)}`)
    : warn(
      "off (AIRFLOW_RESOURCE_REAPER): what a killed process leaves awake stays awake, and costs money",
      "Unset AIRFLOW_RESOURCE_REAPER, or run `airflow-resource reap` after every run."
    )

export const isFolder = (path: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => fs.stat(path).pipe(Effect.map(({ type }) => type === "Directory"), Effect.orElseSucceed(() => false))
  )

export const exists = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(path), () => false))
