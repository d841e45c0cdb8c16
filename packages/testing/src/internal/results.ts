/** What a run of vitest hands to a reporter, as far as versions 3 to 5 agree. */
import { Report } from "airflow-resource"
import * as path from "node:path"
import * as Infrastructure from "./infrastructure.js"
import * as Observation from "./observation.js"

/** A part of vitest's `TestCase`. */
export interface TestCase {
  readonly fullName: string
  readonly meta: () => object
  readonly result: () => {
    readonly state: string
    readonly errors?: ReadonlyArray<Infrastructure.SerializedError> | undefined
  }
  readonly diagnostic: () => { readonly startTime: number; readonly duration: number } | undefined
}

/** A part of vitest's `TestModule`. */
export interface TestModule {
  readonly moduleId: string
  readonly meta?: () => object
  readonly children: { readonly allTests: () => Iterable<TestCase> }
  readonly errors: () => ReadonlyArray<Infrastructure.SerializedError>
  readonly diagnostic: () => { readonly duration: number }
}

/** A test, as a report has it. */
export interface Test {
  readonly name: string
  readonly state: "passed" | "failed" | "skipped"
  /** Milliseconds. */
  readonly duration: number
  readonly startedAt: number | undefined
  readonly errors: ReadonlyArray<Infrastructure.SerializedError>
  /** Why it failed, if that was not the test's fault. */
  readonly infrastructure: Infrastructure.SerializedError | undefined
  readonly leases: ReadonlyArray<Report.Observed>
}

export interface File {
  readonly name: string
  readonly duration: number
  /** What failed outside of tests, such as an import. */
  readonly errors: ReadonlyArray<Infrastructure.SerializedError>
  readonly tests: ReadonlyArray<Test>
  /** Leases that its tests shared. */
  readonly leases: ReadonlyArray<Report.Observed>
}

export const of = (modules: ReadonlyArray<TestModule>, root: string): ReadonlyArray<File> =>
  modules.map((module) => ({
    name: path.relative(root, module.moduleId),
    duration: module.diagnostic().duration,
    errors: module.errors(),
    tests: Array.from(module.children.allTests(), testOf),
    leases: module.meta === undefined ? [] : Observation.of(module.meta())
  }))

/** The leases of a run, which ends now. */
export const leasesOf = (files: ReadonlyArray<File>, now: number): ReadonlyArray<Report.LeaseRecord> =>
  files.flatMap(({ leases, tests }) => [
    ...leases.map((observed) => Report.ofObserved(observed, { now })),
    ...tests.flatMap(({ leases, state }) =>
      leases.map((observed, index) =>
        Report.ofObserved(observed, {
          now,
          // all but the last one are followed by a retry
          passed: state === "skipped" ? null : state === "passed" && index === leases.length - 1
        })
      )
    )
  ])

export interface Counts {
  readonly tests: number
  readonly passed: number
  /** Because of what is tested. */
  readonly failed: number
  /** Because there was no Airflow. */
  readonly withoutAirflow: number
  /** Because the lease was lost. */
  readonly lost: number
  readonly skipped: number
}

export const countsOf = (files: ReadonlyArray<File>): Counts => {
  const tests = files.flatMap(({ tests }) => tests)
  const count = (is: (test: Test) => boolean) => tests.filter(is).length
  return {
    tests: tests.length,
    passed: count(({ state }) => state === "passed"),
    failed: count(({ infrastructure, state }) => state === "failed" && infrastructure === undefined),
    withoutAirflow: count(({ infrastructure }) => infrastructure !== undefined && infrastructure.name !== "LeaseLost"),
    lost: count(({ infrastructure }) => infrastructure?.name === "LeaseLost"),
    skipped: count(({ state }) => state === "skipped")
  }
}

/** `2 tests failed, 1 had no Airflow`, or nothing. */
export const verdict = ({ failed, lost, withoutAirflow }: Counts): string =>
  [
    ...(failed + withoutAirflow + lost === 0 ? [] : [`${failed} ${failed === 1 ? "test" : "tests"} failed`]),
    ...(withoutAirflow === 0 ? [] : [`${withoutAirflow} had no Airflow`]),
    ...(lost === 0 ? [] : [`${lost} lost ${lost === 1 ? "its Airflow" : "their Airflows"}`])
  ].join(", ")

// internal

const testOf = (test: TestCase): Test => {
  const { errors = [], state } = test.result()
  const diagnostic = test.diagnostic()
  const leases = Observation.of(test.meta())
  return {
    name: test.fullName,
    state: state === "passed" || state === "failed" ? state : "skipped",
    duration: diagnostic?.duration ?? 0,
    startedAt: diagnostic?.startTime,
    errors: state === "failed" ? errors : [],
    infrastructure: state === "failed" ? Infrastructure.find(errors, leases) : undefined,
    leases
  }
}
