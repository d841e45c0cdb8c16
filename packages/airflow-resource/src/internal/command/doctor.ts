import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Doctor from "../doctor/doctor.js"
import { output } from "./output.js"
import * as Usage from "./usage.js"

export const doctor: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("doctor"))
    .summary("check what a lease needs")
    .description("Checks everything that a lease needs, and says what to do. Creates and changes nothing.")
    .addHelpText("after", Usage.footer({ examples: ["airflow-resource doctor", "airflow-resource doctor --json"] }))
    .action((format: Usage.Format) =>
      run(
        output(
          Usage.isJson(format),
          Effect.map(Doctor.examine(process.cwd()), Doctor.report),
          ({ checks }) => Doctor.render(checks)
        ).pipe(Effect.flatMap(({ checks }) => Doctor.judge(checks)))
      )
    )
