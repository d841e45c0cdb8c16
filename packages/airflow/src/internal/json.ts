/**
 * JSON as Python writes it: integers of any length, NaN and infinities.
 */

/**
 * Integers that a number cannot represent become bigints, and `NaN`, `Infinity` and `-Infinity` become numbers. Throws if
 * the text is not JSON.
 */
export const parse = (text: string): unknown => {
  if (!/\d{16}|NaN|Infinity/.test(text)) return JSON.parse(text)
  const marker = newMarker()
  const marked = text.replace(tokens, (token) => isExact(token) ? token : `"${marker}${token}"`)
  return JSON.parse(marked, (_key, value: unknown) => {
    if (typeof value !== "string" || !value.startsWith(marker)) return value
    const token = value.slice(marker.length)
    return /^-?\d+$/.test(token) ? BigInt(token) : Number(token)
  })
}

/** Writes bigints as integers. */
export const stringify = (value: unknown): string => {
  const marker = newMarker()
  const marked = JSON.stringify(
    value,
    (_key, member: unknown) => typeof member === "bigint" ? `${marker}${member}` : member
  )
  return marked.replaceAll(new RegExp(`"${marker}(-?\\d+)"`, "g"), "$1")
}

// internal

/** Marks strings that stand for numbers. Random, so that no text contains it. */
const newMarker = () => `number ${crypto.randomUUID()} `

/** Strings first, so that what they contain is not taken for a number. */
const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|NaN|-?Infinity/g

const isExact = (token: string) =>
  token.startsWith("\"") ||
  (!/^-?\d+$/.test(token) ? !/^(NaN|-?Infinity)$/.test(token) : Number.isSafeInteger(Number(token)))
