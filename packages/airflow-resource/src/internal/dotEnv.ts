/** Reads a `.env` with Node's own parser, and reports what that parser would skip silently. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import { parseEnv } from "node:util"
import { ConfigurationError } from "../ConfigurationError.js"

/** The variables of the file; none if there is no file. */
export const read = (
  file: string
): Effect.Effect<Readonly<Record<string, string>>, ConfigurationError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((fs) => fs.readFileString(file)),
    Effect.catchTags({
      BadArgument: ({ message }) => refuse(file, `cannot be read (${message})`),
      SystemError: ({ message, reason }) =>
        reason === "NotFound" ? Effect.succeed("") : refuse(file, `cannot be read (${message})`)
    }),
    Effect.flatMap((text) => {
      // not the line itself, which may hold a secret
      const refuseLine = (problem: string, line: number) => refuse(file, `${problem} (line ${line})`)
      const misquoted = [...text.matchAll(statements)].find(({ groups }) =>
        groups?.["quoted"] !== undefined && !/^\s*(#.*)?$/.test(groups["rest"] ?? "not closed")
      )
      if (misquoted !== undefined) {
        return refuseLine(
          "has a value whose quotes are not closed, or with text after them",
          text.slice(0, misquoted.index).split("\n").length
        )
      }
      const lines = text.replace(/^\uFEFF/, "").replaceAll(
        statements,
        (statement) =>
          statement.replace(/^[ \t]+/, "").replace(/^export[ \t]+/, "export ").replace(
            /^((?:export )?[\w.-]+)[ \t]*=([ \t]?)[ \t]*/,
            (_, name: string, blank: string) => `${name}=${blank && " "}`
          )
      )
      const { [end]: parsed, ...variables } = parse(`${lines}\n${end}=1`)
      const name = Object.keys(variables).find((name) => !/^[\w.-]+$/.test(name)) ?? (parsed === "1" ? undefined : "=")
      return name === undefined
        ? Effect.succeed(variables)
        : refuseLine("has a line that is not like NAME=value", lineOf(name, lines))
    })
  )

// internal

/** A comment, a quoted value with what follows it in its line, or how a line begins: Node's parser misreads indented and blank lines. */
const statements =
  /^[ \t]*(#.*|(export[ \t]+)?[\w.-]+[ \t]*=[ \t]*(?<quoted>(?<quote>["'`])[^]*?\k<quote>(?<rest>.*)|["'`].*)?|export[ \t]+)?/gm

/**
 * A `#` begins a comment only at the start of a line and after a space. Alone, Node's parser begins one at every `#` outside quotes, and
 * reads `p#ss` as `p`.
 */
const parse = (text: string): Record<string, string> =>
  Record.map(
    parseEnv(text.replaceAll(/(?<=\S)#/g, hash)) as Record<string, string>,
    (value) => value.replaceAll(hash, "#")
  )

/** A character of Unicode's private use area. */
const hash = "\uE000"

/** The last variable of every text. It is lost if the parser gives up: at a line without `=`, or without a name. */
const end = "END_OF_FILE__"

/** The parser puts a line without `=` into the next variable's name. */
const lineOf = (name: string, text: string) => {
  const start = name.trim().split("\n")[0]!
  return text.split("\n").findIndex((line) => line.replace(/^\s*export\s/, "").trim().startsWith(start)) + 1
}

const refuse = (file: string, problem: string) =>
  new ConfigurationError({
    problems: [{ variable: file, problem, meaning: "the file of variables in the project's root: correct it there" }]
  })
