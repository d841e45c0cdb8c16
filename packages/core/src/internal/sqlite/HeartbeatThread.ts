/**
 * Beats for this process's leases from a thread of its own, which keeps running while a test blocks the event loop. It
 * has its own connection and starts with the first lease.
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import * as os from "node:os"
import { Worker } from "node:worker_threads"
import * as Host from "../../Host.js"
import type { LeaseLost } from "../../Lease.js"
import * as Heartbeat from "../ledger/Heartbeat.js"
import type { Store } from "../ledger/Store.js"
import type { Watched } from "./files.js"
import { beat } from "./schema.js"

/** What the thread is started with. */
export interface Start {
  readonly file: string
  readonly watched: ReadonlyArray<Watched>
  readonly bootId: string
  readonly hasUptime: boolean
  /** The path of better-sqlite3. */
  readonly driver: string
  /** The statement that extends a deadline. */
  readonly beat: string
}

export interface Lease {
  readonly id: number
  readonly pool: string
  readonly slot: number
  readonly epoch: number
  readonly ttl: number
}

/** What the thread is sent. */
export type Command =
  | { readonly command: "keep"; readonly lease: Lease }
  | { readonly command: "drop"; readonly id: number }
  | { readonly command: "end" }

/** What the thread sends: a lease is lost. */
export interface Report {
  readonly id: number
  readonly loss: Heartbeat.Loss
  /** Why the last beat failed, if it did. */
  readonly failure: string | undefined
}

/** Why the thread no longer beats for a lease. */
type Stopped = Report | { readonly threadEnded: unknown }

/** Whether the thread, which reads this process's clocks itself, gets the same time as `host`. */
export const readsClocksOf = (host: Host.Host): Effect.Effect<boolean> =>
  Effect.map(PinnedClock.isLive, (isLive) => {
    const uptime = host.uptime()
    return isLive && host !== Host.alone && (uptime === null || Math.abs(uptime - os.uptime() * 1000) < 1000)
  })

export const make = ({ file, host, watched }: {
  readonly file: string
  readonly watched: ReadonlyArray<Watched>
  readonly host: Host.Host
}): Effect.Effect<NonNullable<Store["keepAlive"]>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    /** By lease id. */
    const onStop = new Map<number, (stopped: Stopped) => void>()
    let worker: Worker | undefined
    let ended: { readonly why: unknown } | undefined
    let lastId = 0

    const onEnd = (why: unknown) => {
      ended ??= { why }
      onStop.forEach((stop) => stop({ threadEnded: ended?.why }))
      onStop.clear()
    }
    const launch = () => {
      const workerData: Start = {
        file,
        watched,
        bootId: Host.bootOf(host.owner),
        hasUptime: host.uptime() !== null,
        driver: driverOfClient(),
        beat
      }
      const launched = new Worker(new URL("./heartbeatThread.mjs", import.meta.url), { workerData, execArgv: [] })
      launched.unref()
      launched.on("message", (report: Report) => onStop.get(report.id)?.(report))
      launched.once("error", onEnd)
      launched.once("exit", onEnd)
      return launched
    }
    const send = (command: Command) => (worker ??= launch()).postMessage(command)

    yield* Effect.addFinalizer(() =>
      pin(Effect.suspend(() => {
        onStop.clear()
        return worker === undefined || ended !== undefined ? Effect.void : end(worker)
      }))
    )

    return (pool, slot, held, otherwise) =>
      Effect.gen(function*() {
        if (ended !== undefined) return yield* otherwise
        const lost = yield* Deferred.make<never, LeaseLost>()
        const stopped = yield* Deferred.make<Stopped>()
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            const id = ++lastId
            onStop.set(id, (why) => Deferred.unsafeDone(stopped, Effect.succeed(why)))
            send({ command: "keep", lease: { id, pool, slot, epoch: held.epoch, ttl: held.ttl } })
            return id
          }),
          (id) => Effect.sync(() => onStop.delete(id) && send({ command: "drop", id }))
        )
        yield* Deferred.await(stopped).pipe(
          Effect.flatMap((why): Effect.Effect<never, LeaseLost> =>
            "loss" in why
              ? Effect.fail(Heartbeat.lossOf(held, why.loss, why.failure))
              : Effect.zipRight(
                Effect.logWarning(
                  "The heartbeat thread has ended: from now on a lease is lost if its test blocks the event loop for too long.",
                  why
                ),
                Effect.scoped(Effect.flatMap(otherwise, (fromEventLoop) => fromEventLoop.lost))
              )
          ),
          Effect.catchAll((loss) => Deferred.fail(lost, loss)),
          Effect.interruptible,
          Effect.forkScoped
        )
        return { lost: Deferred.await(lost) }
      })
  })

// internal

const end = (worker: Worker) =>
  Effect.async<void>((resume) => {
    worker.once("exit", () => resume(Effect.void))
    worker.ref()
    worker.postMessage({ command: "end" } satisfies Command)
  }).pipe(
    Effect.interruptible,
    Effect.timeoutOption("2 seconds"),
    Effect.flatMap((exited) => exited._tag === "Some" ? Effect.void : Effect.promise(() => worker.terminate()))
  )

/**
 * The same copy of SQLite as the client: a second copy in one process would drop the first one's locks when it closes
 * the file.
 */
const driverOfClient = () => {
  const { resolve } = createRequire(import.meta.url)
  return createRequire(resolve("@effect/sql-sqlite-node/package.json")).resolve("better-sqlite3")
}
