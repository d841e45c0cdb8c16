/** Hides secrets, like Airflow's secrets masker. */
import { isObject, parseJson } from "../Http.js"
import * as Python from "./Python.js"

export const isSecret = (name: string): boolean =>
  /password|passwd|passphrase|secret|token|api_?key|access_?key|private_?key|authorization/i.test(name)

/**
 * A connection's `extra` with its secrets replaced by asterisks. Text that is not a JSON object is returned unchanged.
 */
export const masked = (extra: string): string => {
  const parsed = parseJson(extra)
  if (!isObject(parsed)) return extra
  return Python.dumps(
    Object.fromEntries(Object.entries(parsed).map(([key, value]) => [key, isSecret(key) ? "***" : value]))
  )
}
