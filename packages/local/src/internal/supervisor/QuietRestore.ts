/**
 * The reset of an Airflow that goes on running: it is kept from starting anything, its tasks are killed, and its database is restored.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Processes from "../Processes.js"
import type { Snapshots } from "./Database.js"
import type { SnapshotError } from "./tables.js"
import * as taskProcesses from "./taskProcesses.js"

export interface Options extends taskProcesses.Parts {
  readonly database: Snapshots
  /** Whether all of Airflow's own processes run. */
  readonly isAlive: Effect.Effect<boolean>
}

/** What is left to do: the tables that differ from the snapshot, and processes that run or do not run against expectation. */
export interface Dirty {
  readonly dirty: ReadonlyArray<string>
}

/**
 * Restores the database, and verifies that Airflow is as it was when the snapshot was taken. Otherwise its scheduler has to be restarted
 * over the restored database.
 */
export const restore = (options: Options): Effect.Effect<"restored" | Dirty, SnapshotError> =>
  Effect.gen(function*() {
    const { database, isAlive } = options
    yield* database.quiet
    yield* killTasks(options)
    // the executor's workers hear of it, and may have been about to start another one
    yield* Effect.sleep("300 millis")
    const survivors = yield* killTasks(options)
    // the scheduler finishes what it had begun: it ends if rows go that it is about to change
    const hasTurned = yield* awaitTurn(database)
    yield* database.restore
    const tables = yield* database.differences
    const dirty = [
      ...tables,
      ...survivors.map(({ pid }) => `process ${pid} of a task`),
      ...(hasTurned ? [] : ["a scheduler that hangs"]),
      ...((yield* isAlive) ? [] : ["a process of Airflow that has ended"])
    ]
    return dirty.length === 0 ? "restored" : { dirty }
  })

// internal

/** Every turn of the scheduler's loop ends with a heartbeat, if the last one is half a second old. */
const awaitTurn = ({ heartbeat }: Snapshots) =>
  Effect.flatMap(heartbeat, (before) =>
    heartbeat.pipe(
      Effect.repeat({ until: (now) => now !== before, schedule: Schedule.spaced("20 millis") }),
      Effect.as(true),
      Effect.timeoutTo({ duration: "10 seconds", onTimeout: () => false, onSuccess: (hasTurned) => hasTurned })
    ))

/** Kills until a look finds none, because a process may fork while it is being killed. Returns what is left after many looks. */
const killTasks = (parts: taskProcesses.Parts, looks = 50): Effect.Effect<ReadonlyArray<Processes.Process>> =>
  Effect.gen(function*() {
    const found = yield* taskProcesses.list(parts)
    if (found.length === 0 || looks === 0) return found
    yield* Effect.forEach(found, (process) => Processes.kill(process, "SIGKILL"), { discard: true })
    yield* Effect.sleep("10 millis")
    return yield* killTasks(parts, looks - 1)
  })
