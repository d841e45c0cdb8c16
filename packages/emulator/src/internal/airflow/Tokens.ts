/** Signed tokens, for the position in a log and for the file of a DAG, and ids that are the same for the same input. */
import { createHash } from "node:crypto"
import { parseJson } from "../Http.js"

export const sign = (payload: unknown): string => {
  const text = Buffer.from(JSON.stringify(payload)).toString("base64url")
  return `${text}.${signature(text)}`
}

/** The payload of a signed token; `undefined` if the signature is wrong. */
export const verify = (token: string): unknown => {
  const [text = "", signed] = token.split(".")
  return signed === signature(text) ? parseJson(Buffer.from(text, "base64url").toString()) : undefined
}

const signature = (text: string) => createHash("sha256").update(`airflow ${text}`).digest("base64url").slice(0, 27)

/** A UUID that depends on nothing but its parts. */
export const uuid = (...parts: ReadonlyArray<string | number>): string => {
  const hex = createHash("sha256").update(parts.join("\n")).digest("hex")
  return `01${hex.slice(0, 6)}-${hex.slice(6, 10)}-7${hex.slice(10, 13)}-a${hex.slice(13, 16)}-${hex.slice(16, 28)}`
}
