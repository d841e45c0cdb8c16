/** What vitest tells its workers, in versions 3 to 5. */
import * as Predicate from "effect/Predicate"
import * as path from "node:path"
import process from "node:process"
import * as Vitest from "vitest"

/** The timeout of a test that is declared now, without one of its own, in milliseconds. */
export const timeoutOfTests = (): number => {
  const ofSuite = member(member(currentSuite(), "options"), "timeout")
  const ofRun = member(config(), "testTimeout")
  return typeof ofSuite === "number" ? ofSuite : typeof ofRun === "number" ? ofRun : 5_000
}

/** The test's file, as vitest prints it. */
export const fileOfTests = (): string => {
  const root = member(config(), "root")
  const { testPath } = Vitest.expect.getState()
  return testPath === undefined ? "vitest" : path.relative(typeof root === "string" ? root : process.cwd(), testPath)
}

// internal

/** In vitest 3, tests with fixtures do not inherit from their suites, and there is no such function. */
const currentSuite = (): unknown => {
  const f = member(member(Vitest, "TestRunner"), "getCurrentSuite")
  return typeof f === "function" ? f() : undefined
}

const config = (): unknown => member(member(globalThis, "__vitest_worker__"), "config")

const member = (value: unknown, name: string): unknown =>
  Predicate.isObject(value) ? Reflect.get(value, name) : undefined
