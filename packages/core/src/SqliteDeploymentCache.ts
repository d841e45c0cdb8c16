/**
 * The ledger in an SQLite file, shared by all processes of one machine.
 *
 * @since 0.1.0
 */
import * as PinnedClock from "@airflow-resource/airflow/PinnedClock"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { CacheError, CacheInUse } from "./CacheError.js"
import * as DeploymentCache from "./DeploymentCache.js"
import * as Host from "./Host.js"
import type { Store } from "./internal/ledger/Store.js"
import { connect } from "./internal/sqlite/connection.js"
import * as files from "./internal/sqlite/files.js"
import * as header from "./internal/sqlite/header.js"
import * as HeartbeatThread from "./internal/sqlite/HeartbeatThread.js"
import * as LedgerClock from "./internal/sqlite/ledgerClock.js"
import * as LedgerFile from "./internal/sqlite/ledgerFile.js"
import * as Reset from "./internal/sqlite/reset.js"
import { beat } from "./internal/sqlite/schema.js"
import * as Tables from "./internal/sqlite/tables.js"

/**
 * Opens the ledger, and creates its file and folder if they are missing. Fails, without changing the file, if it is not
 * a ledger, has another schema or is corrupt, or if it is on a network file system.
 *
 * In real time, a thread of its own keeps the leases alive, and beats even while the event loop is blocked.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  /** Absolute, so that it does not depend on the current folder. */
  readonly path: string
  /** The process that uses the ledger [this process; under a TestClock, one that knows nothing about other processes]. */
  readonly host?: Host.Host | undefined
}): Layer.Layer<
  DeploymentCache.DeploymentCache,
  CacheError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.scoped(
    DeploymentCache.DeploymentCache,
    Effect.gen(function*() {
      const host = options.host ?? ((yield* PinnedClock.isLive) ? yield* Host.live : Host.alone)
      return yield* DeploymentCache.make(yield* openStore(options.path, host), host)
    })
  )

/**
 * Returns the version of the ledger's schema, or `None` if there is no ledger yet. Fails if {@link layer} would fail.
 * Creates and changes nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const inspect = (
  path: string
): Effect.Effect<Option.Option<number>, CacheError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(
    // a file is read without SQLite, but a lease needs it
    Effect.zipRight(Effect.scoped(connect(path, ":memory:", { disableWAL: true })), files.find(path)),
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (file) => header.check(path, file, header.readUntouched)
    })
  )

/**
 * Deletes the ledger, whatever version its schema has, and returns whether there was one. The next process creates a
 * new ledger, which finds the pool's deployments again. Fails, without changing the file, with `CacheInUse` while a
 * living process holds a slot or any process has the file open, and with `CacheError` if the file is not a ledger.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reset = (path: string): Effect.Effect<boolean, CacheError | CacheInUse, FileSystem.FileSystem> =>
  Reset.reset(path)

// internal

const openStore = (
  path: string,
  host: Host.Host
): Effect.Effect<Store, CacheError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const { file, read, refuseReplaced, run, sql, watched, write } = yield* LedgerFile.open(path)
    const clock = yield* LedgerClock.make(sql, host)
    const tables = Tables.make(sql, path, Host.machineOf(host.owner))
    yield* write(Effect.flatMap(clock.advance, tables.prune))

    const store: Store = {
      path,
      ledgerId: yield* run(tables.ledgerId),
      modify: (pool, key, f) =>
        write(Effect.gen(function*() {
          const now = yield* clock.advance
          const before = yield* tables.loadLedger(pool, key)
          const change = f(before, now, yield* tables.nextSeq(pool))
          yield* tables.saveChange(pool, now, before, change)
          return change.value
        })),
      modifyLock: (name, f) =>
        write(Effect.gen(function*() {
          const now = yield* clock.advance
          const before = yield* tables.loadLock(name)
          const [value, after] = f(before, now)
          if (after !== before) yield* tables.saveLock(name, after)
          return value
        })),
      beat: (pool, slot, epoch, ttl) =>
        run(Effect.gen(function*() {
          const { bootId, uptime, wall } = clock.read()
          const held = yield* sql.unsafe(beat, [ttl, uptime, bootId, wall, pool, slot, epoch])
          yield* refuseReplaced
          return held.length === 1
        })),
      inspect: (pool) =>
        read(Effect.gen(function*() {
          return { ...(yield* tables.loadLedger(pool, null)), now: yield* clock.now }
        })),
      owners: (pool) => run(tables.loadOwners(pool)),
      events: (pool, query) => run(tables.loadEvents(pool, query))
    }
    return (yield* HeartbeatThread.readsClocksOf(host))
      ? { ...store, keepAlive: yield* HeartbeatThread.make({ file, watched, host }) }
      : store
  })
