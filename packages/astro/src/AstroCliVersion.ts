/**
 * The minimum versions of the astro CLI.
 *
 * @since 0.1.0
 */

/**
 * The start of a version. `[1, 43]` is 1.43.0 and its pre-releases.
 *
 * @since 0.1.0
 * @category models
 */
export type Release = readonly [major: number, minor: number]

/**
 * First version with `astro api cloud`.
 *
 * @since 0.1.0
 * @category config
 */
export const minimum: Release = [1, 40]

/**
 * Older versions deploy through an API that Astro retires in January 2027.
 *
 * @since 0.1.0
 * @category config
 */
export const minimumForDeploys: Release = [1, 43]

/**
 * Whether a version is older than a release. Compares major and minor only. A version without a number is a build from source, and
 * counts as new enough.
 *
 * @example
 * ```ts
 * import * as AstroCliVersion from "@airflow-resource/astro/AstroCliVersion"
 *
 * export const cannotDeploy = AstroCliVersion.isBefore("1.40.1", AstroCliVersion.minimumForDeploys) // true
 * ```
 *
 * @since 0.1.0
 * @category refinements
 */
export const isBefore = (version: string, [major, minor]: Release): boolean => {
  const numbers = /^v?(\d+)\.(\d+)/.exec(version)
  if (numbers === null) return false
  const [actualMajor, actualMinor] = [Number(numbers[1]), Number(numbers[2])]
  return actualMajor < major || (actualMajor === major && actualMinor < minor)
}
