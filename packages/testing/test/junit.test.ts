import { assert, describe, it } from "@effect/vitest"
import * as Infrastructure from "../src/internal/infrastructure.js"
import * as Junit from "../src/internal/junit.js"
import * as Results from "../src/internal/results.js"

const observed = { test: "t", requestedAt: 0, steps: [] }
const withLease = { ...observed, lease: { leaseId: "l", deploymentName: "d", reused: "awake" } } as const

const test = (
  fullName: string,
  errors: ReadonlyArray<Infrastructure.SerializedError> | undefined,
  leases: ReadonlyArray<object> = [],
  state = errors === undefined ? "passed" : "failed"
): Results.TestCase => ({
  fullName,
  meta: () => leases.length === 0 ? {} : { airflowResource: leases },
  result: () => ({ state, ...(errors === undefined ? {} : { errors }) }),
  diagnostic: () => state === "skipped" ? undefined : { startTime: Date.UTC(2026, 0, 5, 9), duration: 1_234.5 }
})

const run = (tests: ReadonlyArray<Results.TestCase>, errors: ReadonlyArray<Infrastructure.SerializedError> = []) =>
  Results.of([{
    moduleId: "/project/tests/a.test.ts",
    children: { allTests: () => tests },
    errors: () => errors,
    diagnostic: () => ({ duration: 5_000 })
  }], "/project")

describe("a failure is the test's own", () => {
  it("unless its tag says that there was no Airflow, or that it was lost", () => {
    for (
      const name of [
        "AcquireTimeout",
        "AcquireBudgetSpent",
        "LeaseLost",
        "ProviderError",
        "CacheError",
        "DeliveryError"
      ]
    ) {
      assert.isDefined(Infrastructure.find([{ name }], [withLease]), name)
    }
    for (const name of ["AssertionError", "RunFailed", "BodyTimeout", "TimersAreFake", "LeaseEnded", undefined]) {
      assert.isUndefined(Infrastructure.find([{ name }], [observed]), name)
    }
  })

  it("if Airflow refused what the test asked of it, but not if it refused the lease", () => {
    assert.isUndefined(Infrastructure.find([{ name: "AirflowApiError" }], [withLease]))
    assert.isUndefined(Infrastructure.find([{ name: "AirflowApiError" }], []))
    assert.isDefined(Infrastructure.find([{ name: "AirflowApiError" }], [withLease, observed]))
  })

  it("and they are counted apart", () => {
    const files = run([
      test("a", [{ name: "Error" }]),
      test("b", [{ name: "Error" }]),
      test("c", [{ name: "LeaseLost" }])
    ])
    assert.strictEqual(Results.verdict(Results.countsOf(files)), "2 tests failed, 1 lost its Airflow")
    assert.strictEqual(Results.verdict(Results.countsOf(run([test("a", undefined)]))), "")
  })
})

describe("JUnit XML", () => {
  it("has failures and errors, skipped tests, times, and no character that XML cannot have", () => {
    const files = run([
      test("passes", undefined),
      test(`<fails> & "quotes"\u0000\u001b[2J\ud800`, [{
        name: "AssertionError",
        message: "expected 1\nto be 2",
        stack: "AssertionError: expected 1\n\u0007    at a.test.ts:3\tx"
      }, { name: "Error" }]),
      test("has none", [{ name: "AcquireTimeout", message: "No deployment was ready" }]),
      test("is skipped", undefined, [], "skipped")
    ], [{ name: "SyntaxError", message: "Unexpected token" }])
    assert.strictEqual(
      Junit.xml(files, Date.UTC(2026, 0, 5, 10)),
      [
        `<?xml version="1.0" encoding="UTF-8"?>`,
        `<testsuites name="vitest" tests="5" failures="1" errors="2" time="5.000">`,
        `  <testsuite name="tests/a.test.ts" timestamp="2026-01-05T09:00:00" hostname="localhost" tests="5" failures="1" errors="2" skipped="1" time="5.000">`,
        `    <testcase classname="tests/a.test.ts" name="passes" time="1.234"/>`,
        `    <testcase classname="tests/a.test.ts" name="&#60;fails&#62; &#38; &#34;quotes&#34;\ufffd\ufffd[2J\ufffd" time="1.234">`,
        `      <failure message="expected 1" type="AssertionError">AssertionError: expected 1\n\ufffd    at a.test.ts:3&#9;x</failure>`,
        `    </testcase>`,
        `    <testcase classname="tests/a.test.ts" name="has none" time="1.234">`,
        `      <error message="No deployment was ready" type="AcquireTimeout">AcquireTimeout: No deployment was ready</error>`,
        `    </testcase>`,
        `    <testcase classname="tests/a.test.ts" name="is skipped" time="0.000">`,
        `      <skipped/>`,
        `    </testcase>`,
        `    <testcase classname="tests/a.test.ts" name="tests/a.test.ts" time="0.000">`,
        `      <error message="Unexpected token" type="SyntaxError">SyntaxError: Unexpected token</error>`,
        `    </testcase>`,
        `  </testsuite>`,
        `</testsuites>`,
        ""
      ].join("\n")
    )
  })
})
