/** What `doctor` checks on Astro. It uses REST even for the provider `cli`, so that a broken astro CLI hides no other problem. */
import * as AstroCli from "@airflow-resource/astro/AstroCli"
import { AstroCliError } from "@airflow-resource/astro/AstroCliError"
import * as AstroCliVersion from "@airflow-resource/astro/AstroCliVersion"
import * as AstroConfig from "@airflow-resource/astro/AstroConfig"
import * as AstroCredentials from "@airflow-resource/astro/AstroCredentials"
import * as AstroPrerequisites from "@airflow-resource/astro/AstroPrerequisites"
import type { DeploymentSpec } from "@airflow-resource/core/Deployment"
import type { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { Check, Checks, Verdict } from "../doctor/verdict.js"
import { fail, failed, given, noResponse, pass, skip, warn } from "../doctor/verdict.js"
import type { CheckContext } from "./definition.js"
import type { Platform } from "./parts.js"

/** All checks, in the order in which they build on each other, with those of the provider first. */
export const checks = (
  { fence, longestLease }: CheckContext,
  ofProvider: Checks
): Effect.Effect<Checks, never, Platform> =>
  Effect.gen(function*() {
    const { ahead, http } = watchClock(yield* HttpClient.HttpClient)
    const watched = Effect.provideService(HttpClient.HttpClient, http)
    const apiToken = yield* Effect.orDie(AstroConfig.apiToken)
    const token = yield* Effect.option(Effect.map(AstroConfig.organization, ({ token }) => token))
    const otherToken = Option.filter(apiToken, (shared) => !Option.exists(token, (own) => Equal.equals(own, shared)))
    const organizationOnce = yield* Effect.cached(
      // run only where the variables are given
      Effect.flatMap(Effect.orDie(AstroConfig.organization), AstroPrerequisites.organization).pipe(
        watched,
        Effect.timeoutFail({ duration: organizationTimeout, onTimeout: () => noResponse(organizationTimeout) })
      )
    )
    const inOrganization = <A>(config: Config.Config<A>, check: (a: A, organizationId: string) => Check) =>
      given(Config.zip(AstroConfig.organization, config), ([, a]) =>
        Effect.matchEffect(organizationOnce, {
          onFailure: () => Effect.succeed(skip("not checked without the organization")),
          onSuccess: ({ id }) => watched(check(a, id))
        }))
    const offered = Config.all({ account: AstroConfig.organization, runtimeVersion: AstroConfig.runtimeVersion })

    return {
      ...ofProvider,
      credentials: given(AstroConfig.organization, ({ token }) => credentials(token, longestLease)),
      ...Option.match(otherToken, {
        onNone: () => ({}),
        onSome: (shared) => ({ ASTRO_API_TOKEN: credentials(shared, longestLease) })
      }),
      organization: given(AstroConfig.organization, () => organization(organizationOnce)),
      workspace: inOrganization(AstroConfig.config, workspace),
      rights: inOrganization(
        AstroConfig.config,
        (account, id) => rights(account, id, fence)
      ),
      runtime: inOrganization(offered, ({ account, runtimeVersion }, id) => runtime(account, id, { runtimeVersion })),
      region: inOrganization(
        Config.all({ account: AstroConfig.organization, place: AstroConfig.region }),
        ({ account, place }, id) => region(account, id, place)
      ),
      clock: given(
        AstroConfig.organization,
        () => Effect.zipRight(Effect.exit(organizationOnce), Effect.map(ahead, clock))
      )
    }
  })

/** Shorter than the timeout of a check, so that the checks that need the organization can still report that it is missing. */
const organizationTimeout = Duration.seconds(15)

/** The astro CLI that the variables name. */
export const program = ({ deploys }: { readonly deploys: boolean }): Check =>
  Effect.gen(function*() {
    const bin = yield* Effect.orDie(AstroConfig.bin)
    const organization = yield* Effect.option(AstroConfig.organization)
    const account = yield* Effect.option(AstroConfig.config)
    return yield* cli({ ...placeholders, ...Option.getOrUndefined(organization), ...Option.getOrUndefined(account) }, {
      bin: Option.getOrUndefined(bin),
      deploys,
      sends: Option.isSome(organization)
    })
  })

/** `AstroCli` needs an account even to read the program's version. */
const placeholders: AstroConfig.AstroConfig = {
  apiUrl: AstroConfig.defaults.apiUrl,
  token: Redacted.make("none"),
  workspaceId: "none",
  organizationId: Option.none()
}

/** The version of the astro CLI, and whether it reaches Astro. */
export const cli = (account: AstroConfig.AstroConfig, { bin, deploys, sends }: {
  readonly bin: string | undefined
  /** Whether it has to be new enough to deploy DAGs. */
  readonly deploys: boolean
  /** Whether to send a request through it, which needs a token. */
  readonly sends: boolean
}) =>
  Effect.gen(function*() {
    const { httpClient, program } = yield* AstroCli.make({ ...account, bin, timeout: "10 seconds" })
    const { path, version } = yield* program
    if (deploys && AstroCliVersion.isBefore(version, AstroCliVersion.minimumForDeploys)) {
      return fail(
        `${path} is version ${version}, but deploying DAGs needs ${
          AstroCliVersion.minimumForDeploys.join(".")
        } or newer`,
        "Update it (https://www.astronomer.io/docs/astro/cli/install-cli), or set AIRFLOW_RESOURCE_PROVIDER=api."
      )
    }
    if (sends) {
      // without retries, so that a program that hangs is reported in time; the token itself is another check's subject
      yield* Effect.mapError(
        httpClient.get(`${account.apiUrl.replace(/\/+$/, "")}/v1/organizations?limit=1`),
        (error) =>
          error.cause instanceof AstroCliError
            ? error.cause
            : { detail: error.message, remedy: "Check ASTRO_API_URL, if it is set." }
      )
    }
    return pass(`${path}, version ${version === "" ? "unknown" : version}${sends ? "; it reaches Astro" : ""}`)
  }).pipe(Effect.catchAll((error) => Effect.succeed(failed(error))))

/** `longestLease`: how long a lease that is requested now may use the token. */
export const credentials = (token: Redacted.Redacted, longestLease: Duration.Duration) =>
  Effect.map(Clock.currentTimeMillis, (now): Verdict => {
    const { expiresAt, kind } = AstroCredentials.claims(token)
    if (kind === "truncated") return fail(kinds.truncated, "Copy the token again, completely.")
    const remedy = "Get a new one at https://cloud.astronomer.io/token, or better, a Workspace API token."
    return Option.match(expiresAt, {
      onNone: () => pass(kinds[kind]),
      onSome: (end) => {
        const time = DateTime.formatIso(DateTime.unsafeMake(end))
        if (end <= now) return fail(`${kinds[kind]} that expired at ${time}`, remedy)
        return end <= now + Duration.toMillis(longestLease)
          ? warn(`${kinds[kind]} that expires at ${time}, possibly before a lease ends`, remedy)
          : pass(`${kinds[kind]}, valid until ${time}`)
      }
    })
  })

const kinds: Record<AstroCredentials.Kind, string> = {
  user: "a user's token",
  organization: "an Organization API token",
  workspace: "a Workspace API token",
  deployment: "a Deployment API token",
  opaque: "a token of unknown kind",
  truncated: "only a part of a token"
}

/** What the token may do in the workspace. */
export const rights = (account: AstroConfig.AstroConfig, organizationId: string, fence: CheckContext["fence"]) =>
  AstroCredentials.rights(account, organizationId).pipe(Effect.match({
    onFailure: failed,
    onSuccess: ({ level, roles }) => {
      const role = roles.join(", ")
      switch (level) {
        case "owner":
          return fence === "off"
            ? warn(
              `${role}, but all leases share one token and are unfenced: AIRFLOW_RESOURCE_FENCE=off`,
              "Unset AIRFLOW_RESOURCE_FENCE, so that each lease gets a token of its own."
            )
            : pass(`${role}: leases are fenced`)
        case "operator":
          return fence === "on"
            ? fail(
              `${role}: it cannot create the token that AIRFLOW_RESOURCE_FENCE=on requires for each lease`,
              ownerToken
            )
            : warn(`${role}: it cannot create tokens, so leases are unfenced`, ownerToken)
        case "none":
          return fail(
            `${role}: it cannot create deployments`,
            "Use a token with Workspace Owner rights. Workspace Operator rights are enough if leases may be unfenced."
          )
        case "unknown":
          return warn(
            "Astro reports no workspace role for this token",
            "Check its role in Astro's UI (Workspace Settings, Access Management). It needs Workspace Owner rights, or Workspace " +
              "Operator rights if leases may be unfenced."
          )
      }
    }
  }))

const ownerToken = "Use a token with Workspace Owner rights, so that each lease gets a token of its own."

export const organization: <E extends { readonly detail: string; readonly remedy: string }, R>(
  organization: Effect.Effect<AstroPrerequisites.Named, E, R>
) => Effect.Effect<Verdict, never, R> = Effect.match({
  onFailure: failed,
  onSuccess: ({ id, name }) => pass(`${name} (${id}), active`)
})

export const workspace = (account: AstroConfig.AstroConfig, organizationId: string) =>
  AstroPrerequisites.workspace(account, organizationId).pipe(Effect.match({
    onFailure: (error) => {
      const own = Option.filter(AstroCredentials.claims(account.token).workspaceId, (id) => id !== account.workspaceId)
      return error.kind === "workspaceNotFound" && Option.isSome(own)
        ? fail(`${error.detail}; it belongs to ${own.value}`, error.remedy)
        : failed(error)
    },
    onSuccess: ({ id, name }) => pass(`${name} (${id})`)
  }))

export const runtime = (
  account: AstroPrerequisites.Connection,
  organizationId: string,
  { runtimeVersion }: Pick<DeploymentSpec, "runtimeVersion">
) =>
  AstroPrerequisites.runtimeVersions(account, organizationId).pipe(Effect.match({
    onFailure: unlessHidden,
    onSuccess: (offered) =>
      offered.includes(runtimeVersion)
        ? pass(runtimeVersion)
        : fail(
          `Astro does not offer ${runtimeVersion}`,
          `Set ASTRO_RUNTIME_VERSION to a version that Astro offers: ${some(offered)}.`
        )
  }))

export const region = (
  account: AstroPrerequisites.Connection,
  organizationId: string,
  place: Pick<DeploymentSpec, "cloudProvider" | "region">
) =>
  AstroPrerequisites.regions(account, organizationId).pipe(Effect.match({
    onFailure: unlessHidden,
    onSuccess: (offered) => {
      const name = `${place.cloudProvider} ${place.region}`
      const inCloud = offered.filter(({ cloudProvider }) => cloudProvider === place.cloudProvider)
      return inCloud.some(({ region }) => region === place.region) ? pass(name) : fail(
        `Astro does not offer ${name}`,
        inCloud.length === 0
          ? "Set ASTRO_CLOUD_PROVIDER and ASTRO_REGION to a pair that Astro offers."
          : `Set ASTRO_REGION to a region that Astro offers on ${place.cloudProvider}: ${
            some(inCloud.map(({ region }) => region))
          }.`
      )
    }
  }))

/** A token that cannot list what Astro offers may still be able to use it. */
const unlessHidden = (error: ProviderError) =>
  error.kind === "forbidden" || error.kind === "notFound"
    ? warn(
      `this token cannot list what Astro offers (${error.detail})`,
      "Try a lease: it fails with Astro's own message if the choice is invalid."
    )
    : failed(error)

const some = (names: ReadonlyArray<string>) => `${names.slice(0, 12).join(", ")}${names.length > 12 ? ", …" : ""}`

/** Measures how far this machine's clock is ahead of Astro's, by the first response with a date, which has whole seconds only. */
export const watchClock = (http: HttpClient.HttpClient) => {
  let ahead = Option.none<number>()
  const watched = HttpClient.transformResponse(http, (send) =>
    Effect.gen(function*() {
      const sent = yield* Clock.currentTimeMillis
      const response = yield* send
      const received = yield* Clock.currentTimeMillis
      const date = Option.map(
        DateTime.make((response.headers.date ?? "").replace("GMT", "+0000")),
        DateTime.toEpochMillis
      )
      ahead = Option.orElse(ahead, () => Option.map(date, (astroTime) => (sent + received) / 2 - (astroTime + 500)))
      return response
    }))
  return { http: watched, ahead: Effect.sync(() => ahead) }
}

/** The verdict on a clock that is this many milliseconds ahead. */
export const clock = (ahead: Option.Option<number>): Verdict =>
  Option.match(ahead, {
    onNone: () => skip("not checked: no response from Astro had a date"),
    onSome: (millis) => {
      const seconds = Math.round(Math.abs(millis) / 1000)
      const says = `${Duration.format(Duration.seconds(seconds))} ${millis > 0 ? "ahead of" : "behind"} Astro's`
      const remedy = "Set this machine's clock, for example by NTP: it decides whether a token counts as expired."
      return seconds >= 60 ? fail(says, remedy) : seconds >= 5 ? warn(says, remedy) : pass("agrees with Astro's")
    }
  })
