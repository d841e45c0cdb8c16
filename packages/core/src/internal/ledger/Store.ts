/** The interface of what a ledger is stored in: memory, or a database. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CacheError } from "../../CacheError.js"
import type { EventQuery, LockRow, Owner, RecordedEvent } from "../../Slot.js"
import type { Change, Ledger } from "../policy/model.js"
import type { Heartbeat, Held } from "./Heartbeat.js"

/**
 * A ledger, as one process has opened it. Each operation is one transaction: between its reads and its writes no other
 * process reads or writes.
 *
 * The store keeps the ledger's time and passes it on as `now`, in milliseconds. It reads its clock inside the
 * transaction, once it has the write lock; a timestamp taken before waiting for the lock is stale. Which clock it reads
 * is up to the store: the host's if all processes run on one host, the server's if there is a server.
 */
export interface Store {
  readonly path: string
  readonly ledgerId: string
  /**
   * Reads the pool's part of the ledger, with the ticket with that key even if it has ended, and the next ticket number;
   * writes the change that `f` returns.
   */
  readonly modify: <A>(
    poolId: string,
    key: string | null,
    f: (ledger: Ledger, now: number, nextSeq: number) => Change<A>
  ) => Effect.Effect<A, CacheError>
  /** Reads the lock's row and writes the row that `f` returns. */
  readonly modifyLock: <A>(
    name: string,
    f: (row: LockRow, now: number) => readonly [A, LockRow]
  ) => Effect.Effect<A, CacheError>
  /**
   * Extends the deadline of the slot's holder to `ttl` milliseconds from now. `false`: the slot is lost. One conditional
   * statement, so that a thread without this module can send it too.
   */
  readonly beat: (poolId: string, slot: number, epoch: number, ttl: number) => Effect.Effect<boolean, CacheError>
  /** Reads the pool's part of the ledger, changes nothing, and needs no write lock. */
  readonly inspect: (poolId: string) => Effect.Effect<Ledger & { readonly now: number }, CacheError>
  /** The owners of all tickets that the ledger still has, ended ones included; each once. */
  readonly owners: (poolId: string) => Effect.Effect<ReadonlyArray<Owner>, CacheError>
  /** Oldest first. What `last` leaves out is not read. */
  readonly events: (poolId: string, query: EventQuery) => Effect.Effect<ReadonlyArray<RecordedEvent>, CacheError>
  /**
   * Beats from a place that keeps running while this process's event loop is blocked; falls back to `otherwise`, which
   * beats from the event loop.
   */
  readonly keepAlive?: (
    poolId: string,
    slot: number,
    held: Held,
    otherwise: Effect.Effect<Heartbeat, never, Scope.Scope>
  ) => Effect.Effect<Heartbeat, never, Scope.Scope>
}
