import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Duration, Effect, Redacted } from "effect"
import * as Checker from "./checker.js"
import * as History from "./history.js"
import * as Processes from "./processes.js"

/** Longer than a lease takes to get ready, so that it shows whether it is waited for. */
const lag = { durations: { tokenRevocation: "2000 seconds" }, revocationWait: 2_300 } as const

/** A holder is stopped between two writes, goes on once the next one is ready, and does not know that it is too late. */
const pausedWriter = (isFenced: boolean) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: History.speed, durations: lag.durations })
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const shared = yield* emulator.mintAstroToken()
    const { revocationWait } = lag
    const pool = {
      ...History.poolOptions,
      revocationWait,
      // no delay stands in for the fence
      ...(isFenced ? {} : { longestRequest: 10 })
    }
    const worker = yield* Processes.start(
      {
        ...Processes.environment(emulator, folder, 1),
        ...(isFenced ? {} : { ASTRO_API_TOKEN: Redacted.value(shared) })
      },
      { pool, leases: null, hold: [60_000, 60_000], writeEvery: 2 }
    )
    const hasWritten = Effect.map(emulator.audit, (audit) => Checker.writes(audit).some(({ isOwn }) => isOwn))
    yield* History.until("a write", hasWritten)
    yield* worker.send("SIGSTOP")

    return yield* Effect.gen(function*() {
      const next = yield* AirflowResource.use({ testName: "next" }, ({ deploymentId, epoch }) =>
        Effect.gen(function*() {
          const from = Date.now()
          const hold = (to: number | null): Checker.Hold => ({ deploymentId, slot: 1, epoch, from, to })
          yield* worker.send("SIGCONT")
          yield* History.until(
            "a write out of epoch, or its refusal",
            Effect.map(emulator.audit, (audit) =>
              isFenced
                ? worker.lines.some(({ _tag }) => _tag === "Refused")
                : Checker.lateWrites(audit, [hold(null)]).length > 0)
          )
          return hold(Date.now())
        }))
      yield* worker.tell
      yield* worker.exited
      return yield* History.conclude(emulator, 1, {
        holds: [...worker.holds(), next],
        finds: worker.finds()
      })
    }).pipe(Effect.provide(
      History.layer(emulator, folder, { ...pool, max: 1, ...(isFenced ? {} : { apiToken: shared }) })
    ))
  }).pipe(Effect.provide(NodeContext.layer))

it.scopedLive("a write that was held back until the next lease is ready is refused", () =>
  Effect.gen(function*() {
    const { history, violations } = yield* pausedWriter(true)
    assert.deepStrictEqual(violations, [])
    const [stopped, next] = history.holds.slice(-2)
    assert.isAbove(next?.epoch ?? 0, stopped?.epoch ?? Infinity)
    assert.isAbove(history.audit.requests.filter(({ status }) => status === 401).length, 0)
  }), Duration.toMillis("5 minutes"))

it.scopedLive("without a fence it is accepted, and the checker finds it", () =>
  Effect.gen(function*() {
    const { violations } = yield* pausedWriter(false)
    assert.deepStrictEqual([...new Set(violations.map(({ rule }) => rule))], ["write out of epoch"])
  }), Duration.toMillis("5 minutes"))
