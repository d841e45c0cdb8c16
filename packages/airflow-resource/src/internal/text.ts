/** Text for a terminal. */
import * as Duration from "effect/Duration"

/** Control characters in the name of a test must not move the cursor, nor turn the direction of the text around. */
export const oneLine = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, " ").trim()

/** Columns are as wide as their widest cell. The last one is never padded. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n")
}

/** The two largest units of a duration: `2h 5m`, `3m 7s`, `12s`. */
export const ago = (millis: number): string => {
  const seconds = Math.max(0, Math.round(millis / 1000))
  return seconds === 0 ? "0s" : Duration.format(Duration.seconds(seconds)).split(" ").slice(0, 2).join(" ")
}
