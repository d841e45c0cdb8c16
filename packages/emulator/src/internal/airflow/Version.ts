/** The version of Airflow that a deployment runs. */
export interface Version {
  readonly major: number
  readonly minor: number
}

export const parse = (version: string): Version => {
  const [major = "2", minor = "0"] = version.split(".")
  return { major: Number(major), minor: Number(minor) }
}

/** `isAtLeast(version, "3.1")` */
export const isAtLeast = (version: Version, other: string): boolean => {
  const { major, minor } = parse(other)
  return version.major > major || (version.major === major && version.minor >= minor)
}
