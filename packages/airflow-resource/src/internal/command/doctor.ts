import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as process from "node:process"
import * as Doctor from "../doctor/doctor.js"
import { json, print } from "./common.js"

export const doctor = Command.make("doctor", { json }, ({ json }) =>
  Effect.gen(function*() {
    const lines = yield* Doctor.examine(process.cwd())
    yield* print(json, Doctor.report(lines), () => Doctor.render(lines))
    yield* Doctor.judge(lines)
  })).pipe(Command.withDescription("Checks everything that a lease needs. Creates and changes nothing."))
