/** What the astro CLI's output means: the one place that looks at its words. */
import type { Ended } from "@airflow-resource/core/ProcessRunner"

/** An answer of Astro's API, as `api cloud -i` prints it. */
export interface Answer {
  readonly status: number
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/** Only a status line proves that Astro answered: exit code 0 is also that of a question nobody answered. */
export const parse = ({ exitCode, stdout }: Ended): Answer | undefined => {
  if (exitCode !== 0 && exitCode !== 1) return undefined
  const found = /^HTTP\/\d(?:\.\d)? ([2-5]\d\d)\b[^\n]*\n((?:[^\n]+\n)*)\n?/m.exec(stdout)
  if (found === null) return undefined
  const headers = (found[2] ?? "").split("\n").flatMap((line) => {
    const header = /^([\w-]+): ?([\t\x20-\x7e]*)$/.exec(line)
    return header === null ? [] : [[header[1] ?? "", header[2] ?? ""] as const]
  })
  return { status: Number(found[1]), headers, body: stdout.slice(found.index + found[0].length) }
}

/** `Astro CLI Version: 1.45.0`; `undefined`: it is another program. A build of one's own has no number. */
export const version = (stdout: string): string | undefined =>
  /^Astro CLI Version:[ \t]*v?([^\n]*)$/m.exec(plain(stdout))?.[1]?.trim()

/** What `dev init` says when it made a project, and only then. */
export const isInitialized = (stdout: string): boolean =>
  /(?:Initialized empty|Reinitialized existing) Astro project in /.test(plain(stdout))

/** The version that `deploy --dags` says it uploaded; whatever else it says, it did not. */
export const deployed = (stdout: string): string | undefined =>
  /^Successfully uploaded DAGs with version (\S+) to Astro/m.exec(plain(stdout))?.[1]

export interface Problem {
  readonly kind: "notLoggedIn" | "unreachable" | "timeout" | "refused" | "crashed" | "unexpected"
  readonly detail: string
  readonly remedy: string
}

/** Why there is no success in it; never with the token that it was given. */
export const problem = (ended: Ended, token: string): Problem => {
  const error = errorOf(ended.stderr.replaceAll(token, "<the token>"))
  const said = plain(`${ended.stdout}\n${ended.stderr}`)
  if (ended.isCut) {
    return { kind: "unexpected", detail: "it printed more than is read", remedy: "Report this." }
  }
  if (ended.exitCode === 2 || /^panic: /m.test(ended.stderr)) {
    return {
      kind: "crashed",
      detail: "it crashed: Astro's answer lacks something that it counts on",
      remedy: `Update the astro CLI, or use Astro's API without it: ${byRest}.`
    }
  }
  if (ended.signal !== null) {
    return { kind: "crashed", detail: `${ended.signal} ended it`, remedy: "Who did that? Then try again." }
  }
  if (/not authenticated|no context set|not connected, have you authenticated|open the browser to log in/.test(said)) {
    return {
      kind: "notLoggedIn",
      detail: "it does not take the token that it was given",
      remedy: "Check ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
    }
  }
  if (/context deadline exceeded|Client\.Timeout/.test(error)) {
    return { kind: "timeout", detail: "Astro's API did not answer it in time", remedy: "Try again." }
  }
  if (/^(executing request|reading response): |^(Get|Post|Put|Delete) "http/.test(error)) {
    return {
      kind: "unreachable",
      // what comes before has the URL
      detail: `it did not reach Astro's API (${error.split(": ").at(-1) ?? ""})`,
      remedy: "Is the network up, and is ASTRO_API_URL, if it is set, right? HTTPS_PROXY is honoured."
    }
  }
  const status = /^failed to perform request, status (408|429|5\d\d)/.exec(error)?.[1]
  if (status !== undefined) {
    return { kind: "unreachable", detail: `Astro's API answered it with status ${status}`, remedy: "Try again." }
  }
  if (/invalid authorization|unauthorized|token (?:is |has )?expired/i.test(error)) {
    return {
      kind: "notLoggedIn",
      detail: `Astro does not take its token (${error})`,
      remedy: "Check ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
    }
  }
  if (error.startsWith("PUT http")) {
    return { kind: "unreachable", detail: "the DAGs could not be uploaded", remedy: "Try again." }
  }
  if (error !== "") return { kind: "unexpected", detail: `it says: ${error}`, remedy: "If that is no help, update it." }
  // after these it ends with 0
  const refusal = /Canceling[^\n]*|use `astro deploy|Invalid workspace id|no Deployments found in workspace/.exec(said)
  if (refusal !== null) {
    return {
      kind: "refused",
      detail: `it gave up (${refusal[0].slice(0, 100)})`,
      remedy: "It asked a question that nobody answered; report this."
    }
  }
  return {
    kind: "unexpected",
    detail: `it ended with ${ended.exitCode} and none of the words that mean success`,
    remedy: `Update the astro CLI, or use Astro's API without it: ${byRest}.`
  }
}

export const byRest = "AIRFLOW_RESOURCE_PROVIDER=api"

/** The first line after `Error: `, short, and without anything that looks like a token. */
const errorOf = (stderr: string): string =>
  (/^Error: ([^\n]*)/m.exec(plain(stderr))?.[1] ?? "")
    .replace(/\beyJ[\w-]*\.[\w.-]*/g, "<a token>")
    .slice(0, 200)

const plain = (text: string) => text.replace(colours, "")
// oxlint-disable-next-line no-control-regex
const colours = /\x1b\[[0-9;?]*[A-Za-z]/g
