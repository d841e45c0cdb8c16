/** Compares two responses to the same request, without the values that differ between any two servers. */
import type { HttpResponse } from "../client.js"

/** A path in the response and the two values at it. A missing value is the string `absent`. */
export interface Difference {
  readonly path: string
  readonly emulator: unknown
  readonly airflow: unknown
}

export const render = ({ airflow, emulator, path }: Difference): string =>
  `${path}: ${JSON.stringify(emulator)} from the emulator, ${JSON.stringify(airflow)} from Airflow`

/** The values of these fields differ between any two servers. Only their types are compared. */
const serverSpecific = new Set([
  "ID",
  "content",
  "continuation_token",
  "duration",
  "file_token",
  "git_version",
  "hostname",
  "id",
  "import_error_id",
  "last_parse_duration",
  "lineno",
  "pid",
  "stack_trace",
  "statement",
  "ti_id",
  "triggering_user_name",
  "unixname"
])

/**
 * Replaces times, hosts, folders and the server's ids by placeholders. Times in 2024 are kept, because they come from the
 * requests and the DAGs. Every time keeps its time zone, whose format belongs to the API version.
 */
const normalizeText = (text: string): string =>
  text
    .replace(/(?!2024)\d{4}-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.\d+)?/g, "TIME$1")
    .replace(/\d{10}\.\d+/g, "TIME")
    .replace(/\/[\w./-]*\/dags\//g, "DAGS/")
    .replace(/\/[\w./-]*\/logs\//g, "LOGS/")
    .replace(/look for ID \w+/, "look for ID")
    .replace(/http:\/\/[\w.-]*:\d+/g, "http://HOST")
    .replace(/errors\.pydantic\.dev\/[\d.]+/, "errors.pydantic.dev")

const typeOf = (value: unknown) => value === null ? "null" : Array.isArray(value) ? "list" : typeof value

const isObject = (value: unknown): value is Record<string, unknown> => typeOf(value) === "object"

const normalize = (value: unknown, key = ""): unknown => {
  if (serverSpecific.has(key)) return isObject(value) ? "object" : typeOf(value)
  if (typeof value === "string") return normalizeText(value)
  if (Array.isArray(value)) return value.map((item) => normalize(item))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, normalize(item, name)]))
}

const walk = (path: string, emulator: unknown, airflow: unknown): ReadonlyArray<Difference> => {
  if (Array.isArray(emulator) && Array.isArray(airflow)) {
    return Array.from({ length: Math.max(emulator.length, airflow.length) }, (_, index) =>
      walk(
        `${path}[]`,
        index < emulator.length ? emulator[index] : "absent",
        index < airflow.length ? airflow[index] : "absent"
      )).flat()
  }
  if (isObject(emulator) && isObject(airflow)) {
    return [...new Set([...Object.keys(emulator), ...Object.keys(airflow)])].flatMap((key) =>
      walk(
        `${path}.${key}`,
        key in emulator ? emulator[key] : "absent",
        key in airflow ? airflow[key] : "absent"
      )
    )
  }
  return emulator === airflow ? [] : [{ path, emulator, airflow }]
}

const mediaType = ({ contentType }: HttpResponse) => contentType.split(";", 1)[0]

/** The whole body if it is JSON or plain text. All HTML pages are equal. */
export const whole = (response: HttpResponse): unknown =>
  response.json ?? (mediaType(response) === "text/html" && response.text !== "" ? "a page" : response.text)

/** Compares the status, the content type and the `view` of the body. */
export const compare = (
  emulator: HttpResponse,
  airflow: HttpResponse,
  view: (response: HttpResponse) => unknown
): ReadonlyArray<Difference> => {
  const parts = (response: HttpResponse) => ({
    status: response.status,
    type: mediaType(response),
    body: normalize(view(response))
  })
  const [left, right] = [parts(emulator), parts(airflow)]
  return (["status", "type", "body"] as const).flatMap((part) => walk(part, left[part], right[part]))
}
