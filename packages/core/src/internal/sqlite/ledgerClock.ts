/** The ledger's time, from the host's clocks and the anchor in the table `clock`. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Host } from "../../Host.js"
import * as LedgerTime from "../ledger/LedgerTime.js"

/** Each effect reads the host's clocks when it runs: run it inside the transaction that uses the time. */
export interface LedgerClock {
  /** What the host's clocks show, for a statement that computes the ledger's time itself. */
  readonly read: () => LedgerTime.Reading
  readonly now: Effect.Effect<number, SqlError>
  /** Like `now`, and records it: from then on the ledger's time never goes back. Needs the write lock. */
  readonly advance: Effect.Effect<number, SqlError>
}

export const make = (sql: SqlClient, host: Host): Effect.Effect<LedgerClock> =>
  Effect.map(LedgerTime.reader(host), (read) => {
    const resolve = Effect.map(
      sql<LedgerTime.Anchor & { last: number }>`
        SELECT boot_id AS bootId, wall, uptime, max(last, (SELECT coalesce(max(seen), 0) FROM slots)) AS last FROM clock`,
      ([anchor]) => LedgerTime.resolve(anchor, read(), anchor?.last ?? 0)
    )
    return {
      read,
      now: Effect.map(resolve, ({ now }) => now),
      advance: Effect.flatMap(resolve, ({ anchor, now }) =>
        anchor === undefined
          ? Effect.succeed(now)
          : Effect.as(
            sql`INSERT OR REPLACE INTO clock (one, boot_id, wall, uptime, last)
              VALUES (1, ${anchor.bootId}, ${anchor.wall}, ${anchor.uptime}, ${now})`,
            now
          ))
    }
  })
