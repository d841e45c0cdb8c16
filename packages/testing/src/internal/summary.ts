/** What a run reports at its end: leases whose release did not end well, what is left of them, and what to do about it. */
import type { DeploymentPool } from "airflow-resource"
import * as Effect from "effect/Effect"

/** Empty if all went well. `since` is the ledger's time at the start of the run. */
export const of = (pool: typeof DeploymentPool.DeploymentPool.Service, since: number) =>
  Effect.gen(function*() {
    const events = yield* pool.events()
    const unfinished = events.filter(({ at, kind }) => kind === "unfinished" && at >= since)
    const { slots } = yield* pool.inspect
    const left = slots.filter(({ holder, name, power, tokens }) =>
      holder === null && ((name !== null && power !== "asleep") || tokens.mayExist)
    )
    if (unfinished.length === 0 && left.length === 0) return ""
    return [
      ...unfinished.map(({ detail }) => `airflow-resource: a release did not end well: ${detail}`),
      ...left.map(({ name, number, power, tokens }) =>
        `airflow-resource: ${name ?? `slot ${number}`} ${
          [...(power === "asleep" ? [] : ["may be awake"]), ...(tokens.mayExist ? ["may have a valid token"] : [])]
            .join(" and ")
        }`
      ),
      left.length === 0
        ? "airflow-resource: everything was cleaned up since."
        : "airflow-resource: to clean up, run `npx airflow-resource reap`."
    ].join("\n")
  })
