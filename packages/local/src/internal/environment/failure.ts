/** What went wrong in an installation, as far as the programs say it. Their output is shown, without what could be a secret. */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import type { Ended, ProcessError } from "@airflow-resource/core/ProcessRunner"
import type { PlatformError } from "@effect/platform/Error"
import type { LockError } from "../FileLock.js"

/** One case that an output can be recognised by. */
export interface Case {
  readonly when: RegExp
  readonly kind: ProviderError["kind"]
  /** [the end of the output]. */
  readonly detail?: string
  readonly remedy: string
}

/** The first case that fits; the last one fits always. */
export const ofOutput = (operation: string, ended: Ended, home: string, cases: ReadonlyArray<Case>): ProviderError => {
  const output = textOf(ended)
  const { detail, kind, remedy } = [...common(home), ...cases, unexpected].find(({ when }) => when.test(output)) ??
    unexpected
  return new ProviderError({ kind, operation, detail: detail ?? (explain(output) || "it said nothing"), remedy })
}

/** The program had no space on the disk. */
export const isFull = (ended: Ended): boolean => full.test(textOf(ended))

export const ofProcess = (operation: string) => ({ detail, command, kind, remedy }: ProcessError): ProviderError =>
  new ProviderError({
    kind: kind === "timedOut" ? "timeout" : "unusable",
    operation,
    detail: `${command}: ${detail}`,
    remedy
  })

export const ofFile = (operation: string, home: string) => (error: PlatformError | LockError): ProviderError => {
  const isFull = error._tag === "LockError" ? error.kind === "full" : full.test(error.message)
  const { kind, remedy } = isFull ? fullOf(home) : notWritable
  return new ProviderError({
    kind,
    operation,
    detail: error._tag === "LockError" ? `${error.operation}: ${error.detail}` : error.message,
    remedy
  })
}

/** The end of an output in one line: what uv and pip say last is what matters. */
export const explain = (output: string): string => {
  const lines = output.split("\n").map((line) => line.replace(/^\s*(?:(?:error|cause|ERROR):)?\s*/, "").trimEnd())
  return mask(lines.filter((line) => line !== "").join(" ")).slice(-1000).replace(/\.$/, "")
}

// internal

const textOf = ({ stderr, stdout }: Ended) => `${stdout}\n${stderr}`

/** Passwords, and tokens in the query, of URLs. */
const mask = (text: string): string =>
  text.replace(/(\w:\/\/)[^/\s@]*@/g, "$1***@").replace(/(\w:\/\/[^\s?]*\?)\S+/g, "$1***")

const full = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/

const fullOf = (home: string) => ({
  kind: "quota" as const,
  remedy: `Free 1 GB on the disk of ${home}, or set AIRFLOW_RESOURCE_LOCAL_HOME to a folder on another one.`
})

const notWritable = {
  kind: "unusable" as const,
  remedy: "Make the folder writable, or set AIRFLOW_RESOURCE_LOCAL_HOME to another one."
}

const common = (home: string): ReadonlyArray<Case> => [
  { when: full, ...fullOf(home) },
  { when: /Permission denied|Read-only file system/, ...notWritable },
  {
    when: /\b401 Unauthorized|\b403 Forbidden|HTTP error 40[13]/,
    kind: "unauthorized",
    remedy:
      "Check the credentials of the package index: uv reads UV_DEFAULT_INDEX or a .netrc, and ignores pip's settings."
  },
  {
    when:
      /error sending request|after connection broken|network was disabled|Failed to connect|Could not resolve host|Request failed after/,
    kind: "unreachable",
    remedy:
      "An installation needs PyPI, or another package index named in UV_DEFAULT_INDEX: check the network and the proxy."
  }
]

const unexpected: Case = {
  when: /^/,
  kind: "unusable",
  remedy: "Run the installation by hand in a new environment to see more: uv pip install apache-airflow."
}
