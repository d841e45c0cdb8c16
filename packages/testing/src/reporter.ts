/**
 * A reporter for vitest: what each lease took, what reuse saved, and which failures were not the tests'.
 * `reporters: ["default", "@airflow-resource/testing/reporter"]`, or with files,
 * `["@airflow-resource/testing/reporter", { html: "report.html", json: "report.json", junit: "junit.xml" }]`.
 *
 * @since 0.1.0
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { AirflowResources, DeploymentPool, Report, Settings } from "airflow-resource"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as path from "node:path"
import process from "node:process"
import * as GlobalSetup from "./internal/isGlobalSetup.js"
import * as Junit from "./internal/junit.js"
import * as RealTime from "./internal/realTime.js"
import * as Results from "./internal/results.js"
import * as Summary from "./internal/summary.js"

/**
 * The files to write, relative to vitest's root. Their folders are created.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The report as JSON [none]. */
  readonly json?: string | undefined
  /** The report as an HTML page [none]. */
  readonly html?: string | undefined
  /** The tests as JUnit XML, where a test without an Airflow has an error instead of a failure [none]. */
  readonly junit?: string | undefined
}

/**
 * Prints a table of all leases at the end of a run, and writes the files that its options name. If it cannot, it says so, and
 * the run's exit code is not 0.
 *
 * @since 0.1.0
 * @category constructors
 */
export default class AirflowReporter {
  readonly #files: Options
  readonly #problems: ReadonlyArray<string>
  #root = process.cwd()
  #since = RealTime.now()

  constructor(options: unknown = {}) {
    const { files, problems } = check(options)
    this.#files = files
    this.#problems = problems
  }

  onInit(vitest: { readonly config: { readonly root: string } }): void {
    this.#root = vitest.config.root
  }

  onTestRunStart(): void {
    this.#since = RealTime.now()
  }

  async onTestRunEnd(modules: ReadonlyArray<Results.TestModule>): Promise<void> {
    const files = Results.of(modules, this.#root)
    const now = RealTime.now()
    const leases = Results.leasesOf(files, now)
    const pool = leases.length === 0 ? nothing : await Effect.runPromise(inspect(this.#since))
    const report = Report.make({
      title: "Airflows of a run of vitest",
      at: now,
      leases,
      typicalCreation: pool.isOnAstro ? Report.typicalCreation : undefined
    })
    const counts = Results.countsOf(files)
    const verdict = Results.verdict(counts)
    process.stdout.write(
      ["", Report.text(report), ...(verdict === "" ? [] : [verdict]), ...(pool.left === "" ? [] : [pool.left]), "", ""]
        .join(
          "\n"
        )
    )
    const failed = [
      ...this.#problems,
      ...this.#write("json", () => `${JSON.stringify({ tests: counts, ...Report.json(report) }, undefined, 2)}\n`),
      ...this.#write("html", () => Report.html(report)),
      ...this.#write("junit", () => Junit.xml(files, now))
    ]
    if (failed.length === 0) return
    process.stderr.write(failed.map((problem) => `@airflow-resource/testing/reporter: ${problem}\n`).join(""))
    process.exitCode = 1
  }

  /** Writes a file that was asked for, and returns why it could not. */
  #write(kind: keyof Options, content: () => string): ReadonlyArray<string> {
    const name = this.#files[kind]
    if (name === undefined) return []
    const file = path.resolve(this.#root, name)
    try {
      Report.save(file, content())
      return []
    } catch (error) {
      return [
        `${kind}: ${file} could not be written: ${error instanceof Error ? error.message : error}. Choose another path.`
      ]
    }
  }
}

// internal

const names = ["json", "html", "junit"] as const

/** A run is not worth less because of a wrong option: what is right is used. */
const check = (options: unknown): { readonly files: Options; readonly problems: ReadonlyArray<string> } => {
  if (typeof options !== "object" || options === null) {
    return { files: {}, problems: [`its options are ${String(options)}, but must be an object`] }
  }
  // vitest adds options of its own, such as `isTTY`
  const own = Object.entries(options).filter(([name, value]) => value !== undefined && !added.has(name))
  const isKnown = (name: string): name is keyof Options => names.some((known) => known === name)
  const isPath = (value: unknown): value is string => typeof value === "string" && value !== ""
  return {
    files: Object.fromEntries(own.filter(([name, value]) => isKnown(name) && isPath(value))),
    problems: own.flatMap(([name, value]) =>
      !isKnown(name)
        ? [`there is no option ${name}; there are ${names.join(", ")}`]
        : isPath(value)
        ? []
        : [`${name} is ${JSON.stringify(value)}, but must be the path of a file`]
    )
  }
}

const added = new Set(["isTTY"])

interface Pool {
  readonly isOnAstro: boolean
  /** What is still awake, and how to stop it. */
  readonly left: string
}

const nothing: Pool = { isOnAstro: false, left: "" }

/** The pool after a run. The global setup reports what is left itself, once it has hibernated what it kept awake. */
const inspect = (since: number): Effect.Effect<Pool> =>
  Effect.gen(function*() {
    const settings = yield* Settings.load(process.cwd(), { delivers: false })
    const isOnAstro = settings.provider._tag === "AstroApi" || settings.provider._tag === "AstroCli"
    if (settings.cache._tag === "Temporary" || GlobalSetup.isActive()) return { isOnAstro, left: "" }
    const left = yield* DeploymentPool.DeploymentPool.pipe(
      Effect.flatMap((pool) => Summary.of(pool, since)),
      Effect.provide(AirflowResources.layerPool(settings)),
      Effect.timeout("30 seconds"),
      Effect.catchAll(({ message }) =>
        Effect.succeed(
          `airflow-resource: what is still awake is unknown: ${message} Run \`npx airflow-resource status\`.`
        )
      )
    )
    return { isOnAstro, left }
  }).pipe(
    // the tests have failed with the same reason
    Effect.catchAll(() => Effect.succeed(nothing)),
    Effect.provide(NodeContext.layer),
    Effect.provide(Logger.remove(Logger.defaultLogger))
  )
