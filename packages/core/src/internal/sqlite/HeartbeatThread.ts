/**
 * Beats for this process's leases from a thread of their own, which goes on while a test blocks the event loop. It has its own
 * connection, and starts with the first lease.
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import { Worker } from "node:worker_threads"
import type { Store } from "../../DeploymentCache.js"
import * as Heartbeat from "../../Heartbeat.js"
import type { LeaseLost } from "../../Lease.js"
import type { Watched } from "./files.js"
import { beat } from "./schema.js"

/** What the thread works with. */
export interface Start {
  readonly file: string
  readonly watched: ReadonlyArray<Watched>
  readonly bootId: string
  readonly hasUptime: boolean
  /** Where better-sqlite3 is. */
  readonly driver: string
  readonly beat: string
}

export interface Lease {
  readonly id: number
  readonly pool: string
  readonly slot: number
  readonly epoch: number
  readonly ttl: number
}

/** What the thread is told. */
export type Order =
  | { readonly order: "keep"; readonly lease: Lease }
  | { readonly order: "drop"; readonly id: number }
  | { readonly order: "end" }

/** What the thread tells. */
export interface Report {
  readonly id: number
  readonly loss: Heartbeat.Loss
}

type News = { readonly loss: Heartbeat.Loss } | { readonly threadEnded: unknown }

export const make = (
  start: Omit<Start, "driver" | "beat">
): Effect.Effect<NonNullable<Store["keepAlive"]>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const pin = yield* PinnedClock.pin
    const leases = new Map<number, (news: News) => void>()
    let worker: Worker | undefined
    let ended: { readonly why: unknown } | undefined
    let lastId = 0

    const onEnd = (why: unknown) => {
      ended ??= { why }
      leases.forEach((tell) => tell({ threadEnded: ended?.why }))
      leases.clear()
    }
    const launch = () => {
      const workerData: Start = { ...start, driver: driverOfClient(), beat }
      const launched = new Worker(new URL("./heartbeatThread.mjs", import.meta.url), { workerData, execArgv: [] })
      launched.unref()
      launched.on("message", ({ id, loss }: Report) => leases.get(id)?.({ loss }))
      launched.once("error", onEnd)
      launched.once("exit", onEnd)
      return launched
    }
    const order = (order: Order) => (worker ??= launch()).postMessage(order)

    yield* Effect.addFinalizer(() =>
      pin(Effect.suspend(() => {
        const running = worker
        leases.clear()
        return running === undefined || ended !== undefined ? Effect.void : end(running)
      }))
    )

    return (pool, slot, held, otherwise) =>
      Effect.gen(function*() {
        if (ended !== undefined) return yield* otherwise
        const lost = yield* Deferred.make<never, LeaseLost>()
        const news = yield* Deferred.make<News>()
        yield* Effect.acquireRelease(
          Effect.sync(() => {
            const id = ++lastId
            leases.set(id, (told) => Deferred.unsafeDone(news, Effect.succeed(told)))
            order({ order: "keep", lease: { id, pool, slot, epoch: held.epoch, ttl: held.ttl } })
            return id
          }),
          (id) => Effect.sync(() => leases.delete(id) && order({ order: "drop", id }))
        )
        yield* Deferred.await(news).pipe(
          Effect.flatMap((told): Effect.Effect<never, LeaseLost> =>
            "loss" in told
              ? Effect.fail(Heartbeat.lossOf(held, told.loss))
              : Effect.zipRight(
                Effect.logWarning(
                  "the thread that beats for leases has ended; they are lost if the event loop is blocked",
                  told
                ),
                Effect.scoped(Effect.flatMap(otherwise, (here) => here.lost))
              )
          ),
          Effect.catchAll((loss) => Deferred.fail(lost, loss)),
          Effect.interruptible,
          Effect.forkScoped
        )
        return { lost: Deferred.await(lost) }
      })
  })

const end = (worker: Worker) =>
  Effect.async<void>((resume) => {
    worker.once("exit", () => resume(Effect.void))
    worker.ref()
    worker.postMessage({ order: "end" } satisfies Order)
  }).pipe(
    Effect.interruptible,
    Effect.timeoutOption("2 seconds"),
    Effect.flatMap((exited) => exited._tag === "Some" ? Effect.void : Effect.promise(() => worker.terminate()))
  )

/** A second copy of SQLite in one process would drop the locks of the first whenever it closes the file. */
const driverOfClient = () => {
  const { resolve } = createRequire(import.meta.url)
  return createRequire(resolve("@effect/sql-sqlite-node/package.json")).resolve("better-sqlite3")
}
