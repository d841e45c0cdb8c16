/**
 * URLs and paths without the parts that may contain secrets, for errors and spans.
 */

/** A base URL should not contain credentials, but it may. */
export const withoutCredentials = (baseUrl: string): string => {
  if (!URL.canParse(baseUrl)) return "(an invalid URL)"
  const url = new URL(baseUrl)
  url.username = ""
  url.password = ""
  url.search = ""
  url.hash = ""
  return url.href.replace(/\/+$/, "")
}

export const withoutQuery = (path: string): string => path.replace(/[?#].*$/s, "")
