/** Responses of Airflow 3. */
import { Halt, type Json, noContent, type Response, response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import { isAtLeast } from "../Version.js"

export const json = (status: number, body: unknown): Response =>
  response(status, "application/json", JSON.stringify(body))

export const ok = (body: unknown): Response => json(200, body)

export const failure = (status: number, detail: unknown): Response => json(status, { detail })

/** Ends the handler with a failure. */
export const halt = (status: number, detail: unknown): never => {
  throw new Halt(failure(status, detail))
}

export const noRoute = (): Response => json(404, { error: "API route not found" })

export const methodNotAllowed = (): Response => failure(405, "Method Not Allowed")

export const crash = (): Response => response(500, "text/plain; charset=utf-8", "Internal Server Error")

/** Fields that exist since this version. */
export const since = (call: Call, version: string, fields: Json): Json => isAtLeast(call.version, version) ? fields : {}

/** Variables, connections and pools have a team since 3.2. */
export const team = (call: Call): Json => since(call, "3.2", { team_name: null })

/** The response to the deletion of a run, a variable, a connection, a pool or an XCom. */
export const deleted = (): Response => noContent({ "content-type": "application/json" })

/** The messages changed from "DAG" to "Dag", each in a different version. */
export const dagWord = (call: Call, version: string): string => isAtLeast(call.version, version) ? "Dag" : "DAG"

/** The database's error about a row that already exists. Its details are hidden since 3.2. */
export const uniqueViolation = (call: Call, table: string, columns: ReadonlyArray<string>): Response => {
  const isHidden = isAtLeast(call.version, "3.2")
  const names = columns.map((column) => `${table}.${column}`).join(", ")
  const statement = `INSERT INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`
  return failure(409, {
    reason: "Unique constraint violation",
    statement: isHidden ? "hidden" : statement,
    orig_error: isHidden ? "hidden" : `UNIQUE constraint failed: ${names}`,
    message: "Serious error when handling your request. Check logs for more details - " +
      `you will find it in api server when you look for ID ${call.world.ids.text(8)}`
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// invalid input, as pydantic reports it

export interface InputError {
  readonly type: string
  readonly msg: string
  readonly ctx?: unknown
}

/** With its fields in pydantic's order. */
export const locatedError = (loc: ReadonlyArray<string | number>, error: InputError, input: unknown) => ({
  type: error.type,
  loc,
  msg: error.msg,
  input,
  ...(error.ctx === undefined ? {} : { ctx: error.ctx })
})

export const invalid = (loc: ReadonlyArray<string | number>, error: InputError, input: unknown): Response =>
  failure(422, [locatedError(loc, error, input)])

export const fieldRequired = { type: "missing", msg: "Field required" }

export const unparsableInteger = {
  type: "int_parsing",
  msg: "Input should be a valid integer, unable to parse string as an integer"
}
