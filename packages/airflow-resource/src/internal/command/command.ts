/** The command `airflow-resource`, one file per subcommand. */
import * as Command from "@effect/cli/Command"
import { cache } from "./cache.js"
import { doctor } from "./doctor.js"
import { emulator } from "./emulator.js"
import { local } from "./local.js"
import { status } from "./status.js"
import { drain, reap } from "./upkeep.js"

export const command = Command.make("airflow-resource").pipe(
  Command.withDescription("Manages the pool of Airflow deployments that tests lease."),
  Command.withSubcommands([doctor, status, reap, drain, cache, local, emulator])
)
