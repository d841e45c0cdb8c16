/**
 * Which Airflow: versions, the Airflow of an Astro runtime, and the runtime that a project's Dockerfile names.
 *
 * @since 0.1.0
 */
import { ProviderError } from "@airflow-resource/core/DeploymentProvider"
import * as Either from "effect/Either"
import * as Order from "effect/Order"
import * as Dockerfile from "./internal/dockerfile.js"

/**
 * What a Dockerfile of an Astro project says about its Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfDockerfile {
  /** The Astro runtime that its last stage is based on, without `-base` and the like. `undefined`: it is based on something else. */
  readonly runtime: string | undefined
  /** The minor version of Python, if the image's tag names it. */
  readonly python: string | undefined
  /** What its last stage does besides, which only an image can have. */
  readonly steps: ReadonlyArray<{ readonly line: number; readonly instruction: string }>
}

/**
 * The versions that are tested, oldest first. For these there are pins for Python 3.11.
 *
 * @since 0.1.0
 * @category config
 */
export const tested: ReadonlyArray<string> = ["2.10.5", "2.11.2", "3.0.6", "3.1.8", "3.2.2", "3.3.2"]

/**
 * The Airflow of a project that names none.
 *
 * @since 0.1.0
 * @category config
 */
export const newest = "3.3.2"

/**
 * Compares versions by their numbers, so that 2.9 is before 2.10.
 *
 * @example
 * ```ts
 * import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
 *
 * export const oldestFirst = ["2.10.5", "2.9.3"].sort(AirflowVersion.order)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const order: Order.Order<string> = Order.mapInput(
  Order.array(Order.number),
  (version) => version.split(".").map(Number)
)

/**
 * The major version of a version that {@link parse} accepts. It decides the API, the processes and their settings.
 *
 * @since 0.1.0
 * @category accessors
 */
export const major = (version: string): 2 | 3 => version.startsWith("2.") ? 2 : 3

/**
 * The minor versions of Python that an Airflow runs on here, the ones with pins first. Airflow 2 and 3.0 exclude Python 3.13, which uv
 * does not enforce.
 *
 * @example
 * ```ts
 * import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
 *
 * export const runs = AirflowVersion.pythonsOf("2.11.2").includes("3.13") // false
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const pythonsOf = (version: string): ReadonlyArray<string> =>
  order(version, "3.1") < 0 ? ["3.11", "3.12", "3.10"] : ["3.11", "3.12", "3.10", "3.13"]

/**
 * Checks the name of a version: three numbers, 2.10.0 or newer. Whether PyPI has it is only known when it is installed.
 *
 * @example
 * ```ts
 * import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
 * import * as Either from "effect/Either"
 *
 * export const isTooOld = Either.isLeft(AirflowVersion.parse("2.9.3")) // true
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (text: string): Either.Either<string, ProviderError> => {
  const version = text.trim()
  const refuse = (detail: string) => Either.left(unknown(`use Airflow ${version}`, detail, example))
  if (!/^\d+\.\d+\.\d+$/.test(version)) return refuse(`${version} is not a version of three numbers, such as 3.3.2`)
  if (order(version, "2.10.0") < 0) return refuse("versions before 2.10.0 are not supported")
  return order(version, "4.0.0") < 0 ? Either.right(version) : refuse("only Airflow 2 and 3 are known")
}

/**
 * The Airflow of an Astro runtime. If the exact one is not known, the newest of its series that is.
 *
 * @example
 * ```ts
 * import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
 * import * as Either from "effect/Either"
 *
 * export const airflow = Either.getOrThrow(AirflowVersion.ofRuntime("3.2-10")) // 3.2.2
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofRuntime = (runtime: string): Either.Either<string, ProviderError> => {
  const refuse = (detail: string, remedy: string) =>
    Either.left(unknown(`use the Airflow of the Astro runtime ${runtime}`, detail, remedy))
  const two = /^(\d+)\.\d+\.\d+$/.exec(runtime)
  if (two !== null && Number(two[1]) < 12) {
    return refuse("its Airflow is older than 2.10, which is not supported", "Use the runtime 12.0.0 or newer.")
  }
  const three = /^(3\.\d+)-\d+$/.exec(runtime)
  const series = two === null ? three?.[1] : seriesOfTwo[two[1] ?? ""]
  const version = runtimes.get(runtime) ?? tested.find((one) => series !== undefined && one.startsWith(`${series}.`))
  return version === undefined
    ? refuse("its Airflow is not known", `Name the Airflow itself. ${example}`)
    : Either.right(version)
}

/**
 * Reads a Dockerfile: its last stage decides, with the stages that it is built from.
 *
 * @example
 * ```ts
 * import * as AirflowVersion from "@airflow-resource/local/AirflowVersion"
 *
 * // 3.1-4
 * export const { runtime } = AirflowVersion.ofDockerfile("FROM astrocrpublic.azurecr.io/runtime:3.1-4-base\n")
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofDockerfile = (text: string): OfDockerfile => {
  const { image, steps } = Dockerfile.lastStage(text)
  const tag = /(?:^|\/)(?:astro-)?runtime:(\d+\.\d+(?:\.|-)\d+)(-[^@]*)?(?:@|$)/i.exec(image)
  return { runtime: tag?.[1], python: /-python-(\d+\.\d+)/i.exec(tag?.[2] ?? "")?.[1], steps }
}

// internal

const example = `Set AIRFLOW_RESOURCE_AIRFLOW_VERSION to a version such as ${newest}.`

const unknown = (operation: string, detail: string, remedy: string) =>
  new ProviderError({ kind: "unknownRuntime", operation, detail, remedy })

/** The runtimes of Airflow 2 have numbers of their own. */
const seriesOfTwo: Readonly<Record<string, string>> = { 12: "2.10", 13: "2.11" }

/** Runtimes that do not have the newest Airflow of their series. */
const runtimes: ReadonlyMap<string, string> = new Map([
  ["13.0.0", "2.11.0"],
  ["3.0-1", "3.0.0"],
  ["3.0-2", "3.0.1"],
  ["3.0-3", "3.0.1"],
  ["3.0-9", "3.0.5"],
  ["3.2-4", "3.2.1"],
  ["3.3-1", "3.3.0"],
  ["3.3-7", "3.3.1"]
])
