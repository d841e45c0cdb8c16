/**
 * The version of an Airflow and what it can do. Differences between versions are decided here and in the dialects, with
 * two exceptions that need no version: `http.ts` sets a run to `failed` if it cannot be deleted otherwise, and
 * `rest.ts` retries writes that find the database locked.
 */
import type { AirflowVersion } from "../Airflow.js"

/** Returns `undefined` for anything but Airflow 2 and 3. */
export const parse = (full: string): AirflowVersion | undefined => {
  const [, major = "", minor = "", patch = "0"] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(full) ?? []
  return major === "2" || major === "3"
    ? { full, major: major === "2" ? 2 : 3, minor: Number(minor), patch: Number(patch) }
    : undefined
}

const isAtLeast = (
  { major, minor }: AirflowVersion,
  [requiredMajor, requiredMinor]: readonly [number, number]
) => major > requiredMajor || (major === requiredMajor && minor >= requiredMinor)

export interface Features {
  /** `PUT /parseDagFile` exists. */
  readonly reparse: boolean
  /** `GET …/dagRuns/{id}/wait` exists. */
  readonly wait: boolean
  /** Users can mark DAGs as favorites. */
  readonly favorites: boolean
  /** DAGs can have one run for each partition. */
  readonly partitions: boolean
  /** Assets can have a state. */
  readonly assetStates: boolean
  /** On request Airflow 2 returns the value of an XCom as JSON. Before 2.10 it only has Python's notation. */
  readonly xcomAsJson: boolean
}

export const featuresOf = (version: AirflowVersion): Features => ({
  reparse: isAtLeast(version, [2, 10]),
  wait: isAtLeast(version, [3, 1]),
  favorites: isAtLeast(version, [3, 1]),
  partitions: isAtLeast(version, [3, 2]),
  assetStates: isAtLeast(version, [3, 3]),
  xcomAsJson: isAtLeast(version, [2, 10])
})
