/** A run's `conf` against the DAG's params, in the words of Python's jsonschema. */
import type { DagSpec, Param } from "../../Dags.js"
import { isObject } from "../Http.js"
import * as Python from "./Python.js"

/** A param as a JSON schema. */
export const schemaOf = ({ minimum, type }: Param) => ({ type, ...minimum === undefined ? {} : { minimum } })

/** What is wrong with it. */
export const check = (spec: DagSpec, conf: unknown): string | undefined => {
  const given = isObject(conf) ? conf : {}
  for (const [name, param] of Object.entries(spec.params ?? {})) {
    const value = name in given ? given[name] : param.default
    const flaw = value === undefined ? "No value passed and Param has no default value" : flawOf(param, value)
    if (flaw !== undefined) return `Invalid input for param ${name}: ${flaw}`
  }
  return undefined
}

const flawOf = (param: Param, value: unknown): string | undefined => {
  const failing = !isOfType(value, param.type)
    ? { keyword: "type", words: `is not of type '${param.type}'` }
    : typeof value === "number" && param.minimum !== undefined && value < param.minimum
    ? { keyword: "minimum", words: `is less than the minimum of ${param.minimum}` }
    : undefined
  if (failing === undefined) return undefined
  const shown = Python.repr(value)
  return `${shown} ${failing.words}\n\nFailed validating '${failing.keyword}' in schema:\n` +
    `    ${Python.repr(schemaOf(param))}\n\nOn instance:\n    ${shown}`
}

const isOfType = (value: unknown, type: Param["type"]): boolean =>
  type === "integer" ? Number.isInteger(value) : typeof value === type
