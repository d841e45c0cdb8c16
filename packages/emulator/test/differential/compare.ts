/** Two answers to the same call: in what they differ, once everything that no two servers share is taken out. */
import type { Answer } from "../client.js"

/** Where, what the emulator has there, and what Airflow has there; with nothing as the word `absent`. */
export interface Difference {
  readonly path: string
  readonly emulator: unknown
  readonly airflow: unknown
}

export const difference = ({ airflow, emulator, path }: Difference): string =>
  `${path}: ${JSON.stringify(emulator)} from the emulator, ${JSON.stringify(airflow)} from Airflow`

/** The values of these are a server's own; their types are not. */
const own = new Set([
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
 * Times keep their zone, which is a part of the dialect, and those that the calls and the DAGs name, all in 2024, stay;
 * hosts, folders and ids made up by the server are named.
 */
const normalText = (text: string): string =>
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

const normal = (value: unknown, key = ""): unknown => {
  if (own.has(key)) return isObject(value) ? "object" : typeOf(value)
  if (typeof value === "string") return normalText(value)
  if (Array.isArray(value)) return value.map((item) => normal(item))
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, normal(item, name)]))
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

const mediaType = ({ contentType }: Answer) => contentType.split(";", 1)[0]

/** All of what is JSON or plain text; a page of HTML is a page. */
export const whole = (answer: Answer): unknown =>
  answer.json ?? (mediaType(answer) === "text/html" && answer.text !== "" ? "a page" : answer.text)

/** `view` is what is compared besides the status and the content type. */
export const compare = (emulator: Answer, airflow: Answer, view: (answer: Answer) => unknown) => {
  const seen = (answer: Answer) => ({
    status: answer.status,
    type: mediaType(answer),
    body: normal(view(answer))
  })
  const both = { emulator: seen(emulator), airflow: seen(airflow) }
  const found = ["status", "type", "body"] as const
  return found.flatMap((part) => walk(part, both.emulator[part], both.airflow[part]))
}
