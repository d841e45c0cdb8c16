import { Argument, type Command } from "commander"
import { print } from "./output.js"
import * as Usage from "./usage.js"

export const completion: Usage.Subcommand = (parent, run) =>
  parent.command("completion")
    .summary("print a completion script for a shell")
    .description("Prints a script with which a shell completes the names of subcommands and options.")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      Usage.footer({
        examples: [
          `eval "$(airflow-resource completion bash)"`,
          `eval "$(airflow-resource completion zsh)"`,
          "airflow-resource completion fish | source"
        ]
      })
    )
    .action((shell: "bash" | "zsh" | "fish") =>
      run(print(shell === "fish" ? fish(parent) : bash(parent, shell === "zsh")))
    )

// internal

/** The words that may follow each sequence of subcommands, such as `local`. */
const places = (program: Command): ReadonlyArray<{ readonly path: string; readonly words: ReadonlyArray<string> }> => {
  const visit = (command: Command, path: string): ReturnType<typeof places> => [
    {
      path,
      words: [
        ...command.commands.map((one) => one.name()),
        ...command.options.flatMap(({ long }) => long ?? []),
        "--help"
      ]
    },
    ...command.commands.flatMap((one) => visit(one, `${path} ${one.name()}`.trim()))
  ]
  return visit(program, "")
}

/** What follows a program's name belongs to that program. */
const bash = (program: Command, isZsh: boolean) => {
  const subcommands = places(program).flatMap(({ path }) => path === "" ? [] : `"${path}"`).join("|")
  return `${isZsh ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}_airflow_resource() {
  local word=\${COMP_WORDS[COMP_CWORD]} at= one
  for one in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$one" in
      --) COMPREPLY=($(compgen -f -- "$word")); return ;;
      -*) ;;
      *) case "\${at:+$at }$one" in ${subcommands}) at="\${at:+$at }$one" ;; esac ;;
    esac
  done
  case "$at" in
${
    places(program).map(({ path, words }) =>
      `    "${path}") COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$word")) ;;`
    ).join("\n")
  }
    *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -F _airflow_resource airflow-resource`
}

const fish = (program: Command) =>
  ["complete -c airflow-resource -f"].concat(
    places(program).map(({ path, words }) => {
      const here = path === ""
        ? "__fish_use_subcommand"
        : path.split(" ").map((name) => `__fish_seen_subcommand_from ${name}`).join("; and ")
      return `complete -c airflow-resource -n "${here}" -a "${words.join(" ")}"`
    })
  ).join("\n")
