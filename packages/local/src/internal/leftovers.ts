/** What a supervisor that was killed may leave running. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as DeploymentFolder from "./DeploymentFolder.js"
import * as Processes from "./Processes.js"

/** Kills them, and returns how many processes they were. Only to be called under the supervisor's lock. */
export const endLeftovers = (
  folder: string,
  { bootId }: DeploymentFolder.ProcessIdentity
): Effect.Effect<number> =>
  Effect.gen(function*() {
    const state = DeploymentFolder.state.read(folder)
    // after a reboot the numbers belong to other processes
    if (Option.isNone(state) || state.value.supervisor.bootId !== bootId) return 0
    const members = yield* Processes.sessionMembers(state.value.processes)
    yield* Effect.forEach(members, (member) => Processes.kill(member, "SIGKILL"), { discard: true })
    return members.length
  })
