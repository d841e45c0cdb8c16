import { Emulator } from "@airflow-resource/emulator"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { AirflowResource } from "airflow-resource"
import { Duration, Effect, Redacted } from "effect"
import { environment } from "../child.js"
import * as Checker from "./checker.js"
import * as History from "./history.js"
import * as Processes from "./processes.js"

/** Revocation takes longer than a lease takes to get ready, so a lease that does not wait for it is noticed. */
const lag = { durations: { tokenRevocation: "2000 seconds" }, revocationWait: 2_300 } as const

/** A holder is stopped between two writes, and goes on writing when the next holder is ready. */
const pausedWriter = (isFenced: boolean) =>
  Effect.gen(function*() {
    const emulator = yield* Emulator.make({ speed: History.speed, durations: lag.durations })
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const shared = yield* emulator.mintAstroToken()
    const { revocationWait } = lag
    const pool = {
      ...History.poolOptions,
      revocationWait,
      // no lock delay replaces the missing fence
      ...(isFenced ? {} : { longestRequest: 10 })
    }
    const worker = yield* Processes.start(
      {
        ...environment(emulator, folder, 1),
        ...(isFenced ? {} : { ASTRO_API_TOKEN: Redacted.value(shared), AIRFLOW_RESOURCE_FENCE: "off" })
      },
      { pool, leases: null, hold: [600_000, 600_000], writeEvery: 2, writeFor: 600_000 }
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
            "a late write is accepted or refused",
            Effect.map(emulator.audit, (audit) =>
              isFenced
                ? worker.lines.some(({ _tag }) => _tag === "Refused")
                : Checker.lateWrites(audit, [hold(null)]).length > 0)
          )
          return hold(Date.now())
        }))
      yield* worker.endInput
      yield* worker.exited
      return yield* History.conclude(emulator, 1, {
        holds: [...worker.holds(), next],
        findings: worker.findings()
      })
    }).pipe(Effect.provide(
      History.layer(emulator, folder, {
        ...pool,
        max: 1,
        ...(isFenced ? {} : { fence: "off" as const, sharedToken: shared })
      })
    ))
  }).pipe(Effect.provide(NodeContext.layer))

it.scopedLive("a write of the previous holder is refused once the next lease is ready", () =>
  Effect.gen(function*() {
    const { history, violations } = yield* pausedWriter(true)
    assert.deepStrictEqual(violations, [])
    const [stopped, next] = history.holds.slice(-2)
    assert.isAbove(next?.epoch ?? 0, stopped?.epoch ?? Infinity)
    assert.isAbove(history.audit.requests.filter(({ status }) => status === 401).length, 0)
  }), Duration.toMillis("15 minutes"))

it.scopedLive("without a fence the late write is accepted, and the checker finds it", () =>
  Effect.gen(function*() {
    const { violations } = yield* pausedWriter(false)
    assert.deepStrictEqual([...new Set(violations.map(({ rule }) => rule))], ["write out of epoch"])
  }), Duration.toMillis("15 minutes"))
