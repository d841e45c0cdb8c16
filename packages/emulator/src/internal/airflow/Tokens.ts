/** Texts that only the server can have made: where a log goes on, and which file a DAG comes from. */
import { createHash } from "node:crypto"
import { parseJson } from "../Http.js"

export const sign = (payload: unknown): string => {
  const text = Buffer.from(JSON.stringify(payload)).toString("base64url")
  return `${text}.${signature(text)}`
}

/** What was signed; `undefined` for any other text. */
export const open = (token: string): unknown => {
  const [text = "", signed] = token.split(".")
  return signed === signature(text) ? parseJson(Buffer.from(text, "base64url").toString()) : undefined
}

const signature = (text: string) => createHash("sha256").update(`airflow ${text}`).digest("base64url").slice(0, 27)

/** An id of the usual form that is always the same for the same words. */
export const uuid = (...words: ReadonlyArray<string | number>): string => {
  const hex = createHash("sha256").update(words.join("\n")).digest("hex")
  return `01${hex.slice(0, 6)}-${hex.slice(6, 10)}-7${hex.slice(10, 13)}-a${hex.slice(13, 16)}-${hex.slice(16, 28)}`
}
