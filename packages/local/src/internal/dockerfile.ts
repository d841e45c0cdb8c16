/** Reads as much of a Dockerfile as is needed to know what its image is based on. */

/** The image at the bottom of the last stage, and the instructions on top of it. */
export interface Stage {
  readonly image: string
  readonly steps: ReadonlyArray<Step>
}

export interface Step {
  readonly line: number
  readonly instruction: string
}

export const lastStage = (text: string): Stage => {
  const stages = new Map<string, Stage>()
  const args = new Map<string, string>()
  let name: string | undefined
  let last: Stage | undefined
  for (const { line, text: statement } of statements(text)) {
    const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/s.exec(statement) ?? []
    const instruction = word.toUpperCase()
    if (instruction === "FROM") {
      const [from = "", , alias] = rest.split(/\s+/).filter((part) => !part.startsWith("--"))
      const image = expand(from, args)
      name = alias?.toLowerCase()
      last = stages.get(image.toLowerCase()) ?? { image, steps: [] }
    } else if (last === undefined) {
      // of ARG, the only other instruction here
      const [, key, value = ""] = /^(\w+)=(.*)$/.exec(rest) ?? []
      if (key !== undefined) args.set(key, value.replace(/^(["'])(.*)\1$/, "$2"))
    } else if (!harmless.has(instruction)) {
      last = { image: last.image, steps: [...last.steps, { line, instruction }] }
    }
    if (name !== undefined && last !== undefined) stages.set(name, last)
  }
  return last ?? { image: "", steps: [] }
}

// internal

/** They change nothing that a DAG could see. */
const harmless = new Set(["ARG", "LABEL", "MAINTAINER"])

/** Instructions with the number of their first line: without comments, with continued lines joined, and without the text of heredocs. */
const statements = (text: string): ReadonlyArray<{ readonly line: number; readonly text: string }> => {
  const found: Array<{ line: number; text: string }> = []
  let heredoc: string | undefined
  let isContinued = false
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (heredoc !== undefined) {
      if (line === heredoc) heredoc = undefined
      continue
    }
    if (line === "" || line.startsWith("#")) continue
    const part = line.replace(/\\$/, "").trim()
    const last = found.at(-1)
    if (isContinued && last !== undefined) last.text += ` ${part}`
    else found.push({ line: index + 1, text: part })
    isContinued = line.endsWith("\\")
    heredoc = /^(?:RUN|COPY|ADD)\b.*<<-?["']?(\w+)/i.exec(found.at(-1)?.text ?? "")?.[1]
  }
  return found
}

/** `$NAME`, `${NAME}` and `${NAME:-default}`. */
const expand = (text: string, args: ReadonlyMap<string, string>): string =>
  text.replace(
    /\$(?:(\w+)|\{(\w+)(?::?-([^}]*))?\})/g,
    (_, plain, braced, otherwise) => args.get(plain ?? braced) ?? otherwise ?? ""
  )
