/** Reads the output of the astro CLI. Its texts are interpreted here and nowhere else. */
import type { Ended } from "@airflow-resource/core/ProcessRunner"

/** A response of Astro's API, as `api cloud -i` prints it. */
export interface Response {
  readonly status: number
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
}

/**
 * `undefined` without a status line, because only that proves that Astro responded: the program also exits with 0 after a prompt that
 * was not answered.
 */
export const response = ({ exitCode, stdout }: Ended): Response | undefined => {
  if (exitCode !== 0 && exitCode !== 1) return undefined
  const head = /^HTTP\/\d(?:\.\d)? ([2-5]\d\d)\b[^\n]*\n((?:[^\n]+\n)*)\n?/m.exec(stdout)
  if (head === null) return undefined
  const headers = (head[2] ?? "").split("\n").flatMap((line) => {
    const header = /^([\w-]+): ?([\t\x20-\x7e]*)$/.exec(line)
    return header === null ? [] : [[header[1] ?? "", header[2] ?? ""] as const]
  })
  return { status: Number(head[1]), headers, body: stdout.slice(head.index + head[0].length) }
}

/** From `Astro CLI Version: 1.45.0`. Empty for a build from source, `undefined` for another program. */
export const version = (stdout: string): string | undefined =>
  /^Astro CLI Version:[ \t]*v?([^\n]*)$/m.exec(plain(stdout))?.[1]?.trim()

/** Whether `dev init` reports that it created a project. */
export const isInitialized = (stdout: string): boolean =>
  /(?:Initialized empty|Reinitialized existing) Astro project in /.test(plain(stdout))

/** The version that `deploy --dags` reports. `undefined` if it does not report success. */
export const deployedVersion = (stdout: string): string | undefined =>
  /^Successfully uploaded DAGs with version (\S+) to Astro/m.exec(plain(stdout))?.[1]

export interface Problem {
  readonly kind: "notLoggedIn" | "unreachable" | "timeout" | "refused" | "crashed" | "unexpected"
  readonly detail: string
  readonly remedy: string
}

/** Why a call did not succeed. Never contains the token. */
export const problem = (ended: Ended, token: string): Problem => {
  const error = errorLine(ended.stderr.replaceAll(token, "<the token>"))
  const output = plain(`${ended.stdout}\n${ended.stderr}`)
  if (ended.isCut) {
    return { kind: "unexpected", detail: "it printed more output than airflow-resource reads", remedy: reportBug }
  }
  if (ended.exitCode === 2 || /^panic: /m.test(ended.stderr)) {
    return {
      kind: "crashed",
      detail: "it crashed, probably because Astro's response lacks a field that it expects",
      remedy: updateOrUseRest
    }
  }
  if (ended.signal !== null) {
    return {
      kind: "crashed",
      detail: `it was killed by ${ended.signal}`,
      remedy: "Find out which process sent that signal (SIGKILL may mean that memory ran out), then try again."
    }
  }
  if (
    /not authenticated|no context set|not connected, have you authenticated|open the browser to log in/.test(output)
  ) {
    return {
      kind: "notLoggedIn",
      detail: "it does not accept its token",
      remedy: "Check ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
    }
  }
  if (/context deadline exceeded|Client\.Timeout/.test(error)) {
    return { kind: "timeout", detail: "Astro's API did not respond to it in time", remedy: "Try again." }
  }
  if (/^(executing request|reading response): |^(Get|Post|Put|Delete) "http/.test(error)) {
    return {
      kind: "unreachable",
      // the text before contains the URL
      detail: `it could not reach Astro's API (${error.split(": ").at(-1) ?? ""})`,
      remedy: "Check the network, the proxy (HTTPS_PROXY) and, if it is set, ASTRO_API_URL."
    }
  }
  const status = /^failed to perform request, status (408|429|5\d\d)/.exec(error)?.[1]
  if (status !== undefined) {
    return { kind: "unreachable", detail: `Astro's API responded to it with status ${status}`, remedy: "Try again." }
  }
  if (/invalid authorization|unauthorized|token (?:is |has )?expired/i.test(error)) {
    return {
      kind: "notLoggedIn",
      detail: `Astro does not accept its token (${error})`,
      remedy: "Check ASTRO_ACCESS_TOKEN (https://cloud.astronomer.io/token)."
    }
  }
  if (error.startsWith("PUT http")) {
    return { kind: "unreachable", detail: "the DAGs could not be uploaded", remedy: "Try again." }
  }
  if (error !== "") {
    return {
      kind: "unexpected",
      detail: `it reported: ${error}`,
      remedy: "If that does not explain the failure, update the astro CLI."
    }
  }
  // after these it exits with 0
  const refusal = /Canceling[^\n]*|use `astro deploy|Invalid workspace id|no Deployments found in workspace/.exec(
    output
  )
  if (refusal !== null) {
    return {
      kind: "refused",
      detail: `it gave up (${refusal[0].slice(0, 100)})`,
      remedy: `It asked for a confirmation, which airflow-resource cannot give. ${reportBug}`
    }
  }
  return {
    kind: "unexpected",
    detail: `it exited with ${ended.exitCode} without a report of success`,
    remedy: updateOrUseRest
  }
}

/** The end of a remedy, where `it` is the astro CLI. */
export const useRest = "set AIRFLOW_RESOURCE_PROVIDER=api to use Astro's API without it"
export const reportBug = "Report this as a bug in airflow-resource."

const updateOrUseRest = `Update the astro CLI, or ${useRest}.`

/** The first line after `Error: `, shortened, without anything that looks like a token. */
const errorLine = (stderr: string): string =>
  (/^Error: ([^\n]*)/m.exec(plain(stderr))?.[1] ?? "")
    .replace(/\beyJ[\w-]*\.[\w.-]*/g, "<a token>")
    .slice(0, 200)

const plain = (text: string) => text.replace(colours, "")
// oxlint-disable-next-line no-control-regex
const colours = /\x1b\[[0-9;?]*[A-Za-z]/g
