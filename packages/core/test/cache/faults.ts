/** Failures of SQLite that come from SQLite itself: a full disk, and a `-wal` that another program has emptied. */
import Database from "better-sqlite3"
import { Effect } from "effect"
import * as fs from "node:fs"
import { vi } from "vitest"

/** Opens a ledger with `open`, and returns the connection to its file too. */
export const withConnection = <A, E, R>(open: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const pragma = vi.spyOn(Database.prototype, "pragma")
    return open.pipe(
      Effect.map((opened) => [opened, pragma.mock.contexts.at(-1) as Database.Database] as const),
      Effect.ensuring(Effect.sync(() => pragma.mockRestore()))
    )
  })

/** From now on every write of this connection needs one more page than the file may have. Returns what frees space. */
export const fillDisk = (db: Database.Database) => {
  db.exec("CREATE TABLE filler (bytes BLOB)")
  for (const table of ["clock", "slots", "tickets", "locks", "events"]) {
    for (const change of ["INSERT", "UPDATE"]) {
      db.exec(
        `CREATE TEMP TRIGGER fill_${table}_${change} BEFORE ${change} ON ${table}
          BEGIN INSERT INTO filler VALUES (zeroblob(5000)); END`
      )
    }
  }
  db.pragma(`max_page_count = ${String(db.pragma("page_count", { simple: true }))}`)
  return () => void db.pragma("max_page_count = 1000000")
}

/** Empties the `-wal` after another connection has written to it, so that what was read before has to be read again. */
export const emptyWal = (path: string) => {
  const db = new Database(path)
  db.exec("INSERT INTO meta VALUES ('other', '')")
  db.close()
  fs.truncateSync(`${path}-wal`, 0)
}
