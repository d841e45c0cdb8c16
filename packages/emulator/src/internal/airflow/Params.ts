/** Checks a run's `conf` against the DAG's params, with the messages of Python's jsonschema. */
import type { DagSpec, Param } from "../../Dags.js"
import { isObject } from "../Http.js"
import * as Python from "./Python.js"

/** The param as a JSON schema. */
export const schemaOf = ({ minimum, type }: Param) => ({ type, ...minimum === undefined ? {} : { minimum } })

/** The message about the first invalid param; `undefined` if all are valid. */
export const check = (spec: DagSpec, conf: unknown): string | undefined => {
  const given = isObject(conf) ? conf : {}
  for (const [name, param] of Object.entries(spec.params ?? {})) {
    const value = name in given ? given[name] : param.default
    const error = value === undefined ? "No value passed and Param has no default value" : errorOf(param, value)
    if (error !== undefined) return `Invalid input for param ${name}: ${error}`
  }
  return undefined
}

const errorOf = (param: Param, value: unknown): string | undefined => {
  const failed = !isOfType(value, param.type)
    ? { keyword: "type", message: `is not of type '${param.type}'` }
    : typeof value === "number" && param.minimum !== undefined && value < param.minimum
    ? { keyword: "minimum", message: `is less than the minimum of ${param.minimum}` }
    : undefined
  if (failed === undefined) return undefined
  const printed = Python.repr(value)
  return `${printed} ${failed.message}\n\nFailed validating '${failed.keyword}' in schema:\n` +
    `    ${Python.repr(schemaOf(param))}\n\nOn instance:\n    ${printed}`
}

const isOfType = (value: unknown, type: Param["type"]): boolean =>
  type === "integer" ? Number.isInteger(value) : typeof value === type
