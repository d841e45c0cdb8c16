/**
 * Which Airflow it is, and what that one can do: differences by version stand here and in the dialects, nowhere else.
 */
import type { AirflowVersion } from "../Airflow.js"

/** `undefined` where it is none that is spoken to. */
export const parse = (full: string): AirflowVersion | undefined => {
  const [, major = "", minor = "", patch = "0"] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(full) ?? []
  return major === "2" || major === "3"
    ? { full, major: major === "2" ? 2 : 3, minor: Number(minor), patch: Number(patch) }
    : undefined
}

const isAtLeast = ({ major, minor }: AirflowVersion, [wantedMajor, wantedMinor]: readonly [number, number]) =>
  major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)

export interface Features {
  /** Has `PUT /parseDagFile`. */
  readonly reparse: boolean
  /** Has `GET …/dagRuns/{id}/wait`. */
  readonly wait: boolean
  /** Airflow 2 shows the value of an XCom as JSON where it is asked to; before, it only has Python's notation. */
  readonly xcomAsJson: boolean
}

export const featuresOf = (version: AirflowVersion): Features => ({
  reparse: isAtLeast(version, [2, 10]),
  wait: isAtLeast(version, [3, 1]),
  xcomAsJson: isAtLeast(version, [2, 10])
})
