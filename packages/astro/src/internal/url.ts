import * as Option from "effect/Option"

/** The domain of one of Astro's own hosts. `None` for any other, such as an emulator or a gateway. */
export const cloudDomain = (apiUrl: string): Option.Option<string> =>
  Option.fromNullable(/^https:\/\/api\.(astronomer(?:-(?:dev|stage|perf))?\.io)\/*$/.exec(apiUrl)?.[1])

/** URLs of Astro's API, which users write with or without a slash at the end. */
export const withoutTrailingSlash = (apiUrl: string) => apiUrl.replace(/\/+$/, "")
