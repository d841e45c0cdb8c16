/**
 * A run as JUnit XML, in the form that CI servers read. A failure that is not the test's fault is an `error`, which vitest's
 * own reporter does not know.
 */
import * as DateTime from "effect/DateTime"
import type { SerializedError } from "./infrastructure.js"
import type { File, Test } from "./results.js"

export const xml = (files: ReadonlyArray<File>, now: number): string => {
  const suites = files.map((file) => suiteOf(file, now))
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<testsuites ${attributes({ name: "vitest", ...sum(suites) })}>`,
    ...suites.flatMap(({ lines }) => lines),
    "</testsuites>",
    ""
  ].join("\n")
}

// internal

interface Suite {
  readonly tests: number
  readonly failures: number
  readonly errors: number
  readonly skipped: number
  /** Milliseconds. */
  readonly time: number
  readonly lines: ReadonlyArray<string>
}

const sum = (suites: ReadonlyArray<Suite>) => {
  const of = (name: "tests" | "failures" | "errors" | "time") => suites.reduce((sum, suite) => sum + suite[name], 0)
  return { tests: of("tests"), failures: of("failures"), errors: of("errors"), time: seconds(of("time")) }
}

const suiteOf = ({ duration, errors, name, tests }: File, now: number): Suite => {
  const startedAt = tests.reduce((earliest, test) => Math.min(earliest, test.startedAt ?? now), now)
  const count = (is: (test: Test) => boolean) => tests.filter(is).length
  const suite = {
    tests: tests.length + (errors.length === 0 ? 0 : 1),
    failures: count(({ infrastructure, state }) => state === "failed" && infrastructure === undefined),
    errors: count(({ infrastructure }) => infrastructure !== undefined) + (errors.length === 0 ? 0 : 1),
    skipped: count(({ state }) => state === "skipped"),
    time: duration
  }
  const timestamp = DateTime.formatIso(DateTime.unsafeMake(startedAt)).replace(/\.\d+Z$/, "")
  return {
    ...suite,
    lines: [
      `  <testsuite ${attributes({ name, timestamp, hostname: "localhost", ...suite, time: seconds(duration) })}>`,
      ...tests.flatMap((test) => caseOf(test, name)),
      ...(errors.length === 0
        ? []
        : testcase(
          { classname: name, name, time: seconds(0) },
          errors.slice(0, 1).map((error) => fault("error", error))
        )),
      "  </testsuite>"
    ]
  }
}

const caseOf = ({ duration, errors, infrastructure, name, state }: Test, classname: string) =>
  testcase(
    { classname, name, time: seconds(duration) },
    state === "skipped"
      ? ["      <skipped/>"]
      : infrastructure !== undefined
      ? [fault("error", infrastructure)]
      // the schema allows one
      : errors.slice(0, 1).map((error) => fault("failure", error))
  )

const testcase = (of: Record<string, string>, lines: ReadonlyArray<string>) =>
  lines.length === 0
    ? [`    <testcase ${attributes(of)}/>`]
    : [`    <testcase ${attributes(of)}>`, ...lines, "    </testcase>"]

const fault = (kind: "error" | "failure", { message, name, stack }: SerializedError) => {
  const [type, text] = [String(name ?? "Error"), String(message ?? "")]
  return `      <${kind} ${attributes({ message: text.split("\n", 1)[0]!, type })}>${
    escape(typeof stack === "string" && stack !== "" ? stack : `${type}: ${text}`)
  }</${kind}>`
}

const seconds = (millis: number) => (millis / 1000).toFixed(3)

const attributes = (values: Record<string, string | number>) =>
  Object.entries(values).map(([name, value]) => `${name}="${escape(String(value))}"`).join(" ")

const escape = (text: string) =>
  // XML has no way to write other control characters, nor half a character
  // oxlint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffe\uffff]|\p{Cs}/gu, "\ufffd")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/[\t\r\n]/g, (character) => character === "\n" ? "\n" : `&#${character.charCodeAt(0)};`)
