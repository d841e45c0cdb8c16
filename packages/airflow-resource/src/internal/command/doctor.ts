import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Doctor from "../doctor/doctor.js"
import { json, output } from "./common.js"

export const doctor = Command.make(
  "doctor",
  { json },
  ({ json }) =>
    output(json, Effect.map(Doctor.examine(process.cwd()), Doctor.report), ({ checks }) => Doctor.render(checks)).pipe(
      Effect.flatMap(({ checks }) => Doctor.judge(checks))
    )
).pipe(Command.withDescription("Checks everything that a lease needs. Creates and changes nothing."))
