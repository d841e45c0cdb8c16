/** What `doctor` looks at, one by one. Each ends well, whatever it finds; none makes, changes or wakes anything. */
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import type { AstroConfig } from "@airflow-resource/astro/AstroConfig"
import * as AstroCredentials from "@airflow-resource/astro/AstroCredentials"
import * as AstroPrerequisites from "@airflow-resource/astro/AstroPrerequisites"
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as SqliteDeploymentCache from "@airflow-resource/core/SqliteDeploymentCache"
import type { GithubConfig } from "@airflow-resource/github/GithubConfig"
import * as GithubRepository from "@airflow-resource/github/GithubRepository"
import * as GithubSecrets from "@airflow-resource/github/GithubSecrets"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { ConfigurationError } from "../ConfigurationError.js"
import * as Http from "../Http.js"

/** `skip`: not needed here, or what it builds on is not there. */
export interface Verdict {
  readonly state: "pass" | "warn" | "fail" | "skip"
  readonly says: string
  readonly remedy: string | null
}

const verdict = (state: "warn" | "fail") => (says: string, remedy: string): Verdict => ({ state, says, remedy })
export const pass = (says: string): Verdict => ({ state: "pass", says, remedy: null })
export const skip = (says: string): Verdict => ({ state: "skip", says, remedy: null })
const warn = verdict("warn")
const fail = verdict("fail")
export const refused = ({ detail, remedy }: { readonly detail: string; readonly remedy: string }) =>
  fail(detail, remedy)

export const node = (version: string): Verdict =>
  isBefore(version, [20, 19])
    ? fail(`${version}, and 20.19 is needed`, "Update Node.js (https://nodejs.org).")
    : pass(version)

export const configuration = (problems: ConfigurationError["problems"]): Verdict =>
  problems.length === 0
    ? pass("complete")
    : fail(
      problems.map(({ problem, variable }) => `${variable} ${problem}`).join("; "),
      [
        "Set in the environment, or in a .env file in the project's root:",
        ...problems.map(({ meaning, variable }) => `${variable}, ${meaning}`)
      ].join("\n")
    )

export const project = (root: Option.Option<string>) =>
  Option.match(root, {
    onNone: () =>
      Effect.succeed(warn(
        "none: there is neither a .git nor a package.json here or above",
        "Run this in the project: paths are relative to its root, and its .env is read."
      )),
    onSome: (folder) =>
      Effect.map(has(`${folder}/.env`), (isThere) => pass(isThere ? `${folder}, with a .env` : folder))
  })

/** Only a deploy of Astro's own takes them from this machine. */
export const dags = (folder: string) =>
  Effect.map(has(folder), (isThere) =>
    isThere
      ? pass(folder)
      : fail(`the folder ${folder} is not there`, "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."))

export const cache = (path: string) =>
  SqliteDeploymentCache.inspect(path).pipe(Effect.match({
    onFailure: ({ detail, remedy }) => fail(`${path}: ${detail}`, remedy),
    onSuccess: Option.match({
      onNone: () => pass(`${path}, which the first lease makes`),
      onSome: (schema) => pass(`${path}, schema ${schema}`)
    })
  }))

/** Its version, and whether Astro answers it. */
export const cli = (account: AstroConfig, { asks, bin, deploys }: {
  readonly bin: string | undefined
  readonly deploys: boolean
  /** Without a token there is nothing that it could ask. */
  readonly asks: boolean
}) =>
  Effect.gen(function*() {
    const { httpClient, program } = yield* AstroCli.make({ ...account, bin, timeout: "10 seconds" })
    const { path, version } = yield* program
    if (deploys && isBefore(version, [1, 43])) {
      return fail(
        `${path} is version ${version}, and 1.43 is needed to deploy DAGs`,
        "Update it (https://www.astronomer.io/docs/astro/cli/install-cli), or set AIRFLOW_RESOURCE_PROVIDER=api."
      )
    }
    if (asks) {
      // once, so that one that hangs says so in time; whether Astro takes the token is another check's
      yield* Effect.mapError(
        httpClient.get(`${account.apiUrl.replace(/\/+$/, "")}/v1/organizations?limit=1`),
        (error) =>
          error.cause instanceof AstroCli.AstroCliError
            ? error.cause
            : { detail: error.message, remedy: "Is ASTRO_API_URL, if it is set, right?" }
      )
    }
    return pass(`${path}, version ${version === "" ? "unknown" : version}${asks ? ", and Astro answers it" : ""}`)
  }).pipe(Effect.catchAll((error) => Effect.succeed(refused(error))))

/** `longest`: how much later a token that is taken now may still be used. */
export const credentials = (token: Redacted.Redacted, longest: Duration.Duration) =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const { expiresAt, kind } = AstroCredentials.claims(token)
    const remedy = "Get a new one at https://cloud.astronomer.io/token, or better a Workspace API token."
    return Option.match(expiresAt, {
      onNone: () => pass(kinds[kind]),
      onSome: (end) => {
        const time = DateTime.formatIso(DateTime.unsafeMake(end))
        if (end <= now) return fail(`${kinds[kind]}, which expired at ${time}`, remedy)
        return end <= now + Duration.toMillis(longest)
          ? warn(`${kinds[kind]}, which expires at ${time}: a lease may take longer`, remedy)
          : pass(`${kinds[kind]}, good until ${time}`)
      }
    })
  })

const kinds: Record<AstroCredentials.Kind, string> = {
  user: "a user's token",
  organization: "an Organization API token",
  workspace: "a Workspace API token",
  deployment: "a Deployment API token",
  opaque: "a token that does not tell whose it is"
}

export const rights = (account: AstroConfig, organizationId: string, { fence, isShared }: {
  readonly fence: "auto" | "on"
  /** ASTRO_API_TOKEN, which all leases use. */
  readonly isShared: boolean
}) =>
  AstroCredentials.rights(account, organizationId).pipe(Effect.match({
    onFailure: refused,
    onSuccess: ({ level, roles }) => {
      const named = roles.join(", ")
      switch (level) {
        case "owner":
          return isShared && fence === "auto"
            ? warn(
              `${named}, but leases share ASTRO_API_TOKEN, and are unfenced`,
              "Unset ASTRO_API_TOKEN and set ASTRO_ACCESS_TOKEN, so that each lease gets a token of its own."
            )
            : pass(`${named}: leases are fenced`)
        case "operator":
          return fence === "on"
            ? fail(
              `${named}: it may make no tokens, and AIRFLOW_RESOURCE_FENCE=on needs one for each lease`,
              ownerToken
            )
            : warn(`${named}: it may make no tokens, so that leases are unfenced`, ownerToken)
        case "none":
          return fail(
            `${named}: it may make no deployments`,
            "Use a token with Workspace Owner rights; Workspace Operator rights do where leases may be unfenced."
          )
        case "unknown":
          return warn(
            "Astro tells this token of none in the workspace",
            "Look in Astro's UI (Workspace Settings, Access Management): Workspace Owner rights are needed, or Workspace " +
              "Operator rights where leases may be unfenced."
          )
      }
    }
  }))

const ownerToken = "Use a token with Workspace Owner rights, so that each lease gets a token of its own."

export const organization = Effect.match({
  onFailure: refused,
  onSuccess: ({ id, name }: AstroPrerequisites.Named) => pass(`${name} (${id}), active`)
})

export const workspace = (account: AstroConfig, organizationId: string) =>
  AstroPrerequisites.workspace(account, organizationId).pipe(Effect.match({
    onFailure: (error) => {
      const own = Option.filter(AstroCredentials.claims(account.token).workspaceId, (id) => id !== account.workspaceId)
      return error.kind === "workspaceNotFound" && Option.isSome(own)
        ? fail(`${error.detail}; it is of ${own.value}`, error.remedy)
        : refused(error)
    },
    onSuccess: ({ id, name }) => pass(`${name} (${id})`)
  }))

export const runtime = (account: AstroConfig, organizationId: string, { runtimeVersion }: DeploymentSpec) =>
  AstroPrerequisites.runtimeVersions(account, organizationId).pipe(Effect.match({
    onFailure: unlessHidden,
    onSuccess: (offered) =>
      offered.includes(runtimeVersion)
        ? pass(runtimeVersion)
        : fail(
          `${runtimeVersion} is not offered`,
          `Set ASTRO_RUNTIME_VERSION to one that Astro offers: ${some(offered)}.`
        )
  }))

export const region = (account: AstroConfig, organizationId: string, spec: DeploymentSpec) =>
  AstroPrerequisites.regions(account, organizationId).pipe(Effect.match({
    onFailure: unlessHidden,
    onSuccess: (offered) => {
      const named = `${spec.cloudProvider} ${spec.region}`
      const inCloud = offered.filter(({ cloudProvider }) => cloudProvider === spec.cloudProvider)
      return inCloud.some(({ region }) => region === spec.region) ? pass(named) : fail(
        `${named} is not offered`,
        inCloud.length === 0
          ? "Set ASTRO_CLOUD_PROVIDER and ASTRO_REGION to a pair that Astro offers."
          : `Set ASTRO_REGION to one that Astro offers on ${spec.cloudProvider}: ${
            some(inCloud.map(({ region }) => region))
          }.`
      )
    }
  }))

/** That a token may not look does not mean that it may not use. */
const unlessHidden = (error: ProviderError) =>
  error.kind === "forbidden" || error.kind === "notFound"
    ? warn(
      `Astro does not tell this token what it offers (${error.detail})`,
      "Try it: a lease fails with Astro's words."
    )
    : refused(error)

const some = (names: ReadonlyArray<string>) => `${names.slice(0, 12).join(", ")}${names.length > 12 ? ", …" : ""}`

/** How far this machine's clock is ahead of Astro's, by the first answer that has a date; seconds are all that a date has. */
export const watchClock = (http: HttpClient.HttpClient) => {
  let ahead = Option.none<number>()
  const watched = HttpClient.transformResponse(http, (answer) =>
    Effect.gen(function*() {
      const sent = yield* Clock.currentTimeMillis
      const response = yield* answer
      const received = yield* Clock.currentTimeMillis
      const date = Option.map(
        DateTime.make((response.headers.date ?? "").replace("GMT", "+0000")),
        DateTime.toEpochMillis
      )
      ahead = Option.orElse(ahead, () => Option.map(date, (theirs) => (sent + received) / 2 - (theirs + 500)))
      return response
    }))
  return { http: watched, ahead: Effect.sync(() => ahead) }
}

export const clock = (ahead: Option.Option<number>): Verdict =>
  Option.match(ahead, {
    onNone: () => skip("not looked at: Astro did not answer with a date"),
    onSome: (millis) => {
      const seconds = Math.round(Math.abs(millis) / 1000)
      const says = `${Duration.format(Duration.seconds(seconds))} ${millis > 0 ? "ahead of" : "behind"} Astro's`
      const remedy = "Set this machine's clock, by NTP for one: whether a token has expired is judged by it."
      return seconds >= 60 ? fail(says, remedy) : seconds >= 5 ? warn(says, remedy) : pass("agrees with Astro's")
    }
  })

/** Whether its secrets could be written, without writing. */
export const github = ({ apiUrl, repository: text, token }: GithubConfig) =>
  Effect.gen(function*() {
    const repository = yield* GithubRepository.parse(text)
    const url = yield* GithubRepository.apiUrl(repository, Option.getOrUndefined(apiUrl))
    const secrets = yield* GithubSecrets.make({ token, apiUrl: url, timeout: "10 seconds", fetch: yield* Http.fetch })
    const { fullName } = yield* secrets.check(repository)
    return pass(`${fullName}, whose secrets may be written`)
  }).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(
        error._tag === "RepositoryInvalid" ? fail(error.problem, error.remedy) : refused(error)
      )
    )
  )

/** A build without a number is taken to be new. */
const isBefore = (version: string, [major, minor]: readonly [number, number]) => {
  const found = /^v?(\d+)\.(\d+)/.exec(version)
  if (found === null) return false
  const [theirs, minorOfTheirs] = [Number(found[1]), Number(found[2])]
  return theirs < major || (theirs === major && minorOfTheirs < minor)
}

const has = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(path), () => false))
