/** Responses of Airflow 2. */
import { isObject, type Response, response } from "../../Http.js"
import type { Call } from "../Airflow.js"

export const html = "text/html; charset=utf-8"

/** With sorted keys, as Flask prints them. */
export const ok = (body: unknown): Response =>
  response(200, "application/json", `${JSON.stringify(sorted(body), null, 2)}\n`)

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const keys = Object.keys(value).sort()
  return Object.fromEntries(keys.map((key) => [key, sorted(value[key])]))
}

export const plainProblem = (status: number, title: string, detail: string): Response =>
  response(
    status,
    "application/problem+json",
    `${JSON.stringify({ detail, status, title, type: "about:blank" }, null, 2)}\n`
  )

export const noRoute = (): Response =>
  plainProblem(
    404,
    "Not Found",
    "The requested URL was not found on the server. " +
      "If you entered the URL manually please check your spelling and try again."
  )

const kinds: Readonly<Record<number, string>> = {
  403: "PermissionDenied",
  404: "NotFound",
  409: "AlreadyExists",
  500: "Unknown"
}

export const problem = (call: Call, status: number, title: string | null, detail: string | null): Response => {
  const kind = kinds[status] ?? "BadRequest"
  const docs = `https://airflow.apache.org/docs/apache-airflow/${call.deployment.runtime.airflowVersion}`
  const type = `${docs}/stable-rest-api-ref.html#section/Errors/${kind}`
  return response(status, "application/problem+json", `${JSON.stringify({ detail, status, title, type }, null, 2)}\n`)
}

export const badRequest = (call: Call, detail: string): Response => problem(call, 400, "Bad Request", detail)

export const notFoundPage = (): Response =>
  response(
    404,
    html,
    "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <head>\n    <title>Airflow 404</title>\n  </head>\n  <body>\n    <h1>Airflow 404</h1>\n    <p>Page cannot be found.</p>\n  </body>\n</html>\n"
  )

export const crashPage = (): Response =>
  response(
    500,
    html,
    "\n\n<!DOCTYPE html>\n<html lang=\"en\">\n  <body>\n    <h1> Ooops! </h1>\n    <pre>\nSomething bad has happened. For security reasons detailed information about the error is not logged.\n    </pre>\n  </body>\n</html>\n"
  )

/** From the web server, for a crash outside of Flask. */
export const barePage = (): Response =>
  response(
    500,
    "text/html",
    "<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n"
  )
