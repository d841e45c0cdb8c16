/** Values as Python prints them. */
import { isObject } from "../Http.js"

/** `repr(value)` */
export const repr = (value: unknown): string => {
  if (value === null || value === undefined) return "None"
  if (typeof value === "boolean") return value ? "True" : "False"
  if (typeof value === "string") return quoted(value)
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`
  if (isObject(value)) {
    return `{${Object.entries(value).map(([key, item]) => `${quoted(key)}: ${repr(item)}`).join(", ")}}`
  }
  return JSON.stringify(value)
}

/** `type(value).__name__` */
export const typeOf = (value: unknown): string => {
  if (value === null || value === undefined) return "NoneType"
  if (Array.isArray(value)) return "list"
  if (typeof value === "boolean") return "bool"
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float"
  return typeof value === "string" ? "str" : "dict"
}

/** `str(value)` */
export const str = (value: unknown): string => typeof value === "string" ? value : repr(value)

/** `json.dumps(value)`, with a space after each comma and colon. */
export const dumps = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(dumps).join(", ")}]`
  if (isObject(value)) {
    return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${dumps(item)}`).join(", ")}}`
  }
  return JSON.stringify(value) ?? "null"
}

const quoted = (text: string): string => {
  const quote = text.includes("'") && !text.includes("\"") ? "\"" : "'"
  const escaped = Array.from(text, (character) => {
    if (character === quote || character === "\\") return `\\${character}`
    if (character === "\n") return "\\n"
    if (character === "\r") return "\\r"
    if (character === "\t") return "\\t"
    const code = character.codePointAt(0) ?? 0
    return code < 32 || (code >= 127 && code < 161) ? `\\x${code.toString(16).padStart(2, "0")}` : character
  })
  return `${quote}${escaped.join("")}${quote}`
}
