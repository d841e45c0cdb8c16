/**
 * How the original fixture claimed deployments, including its faults: by a status that a claim does not change, in a
 * deferred transaction. It shows that the checker finds these faults.
 */
import Database from "better-sqlite3"
import { setTimeout as sleep } from "node:timers/promises"

export const open = (path: string): Database.Database => {
  const db = new Database(path, { timeout: 30_000 })
  db.pragma("journal_mode = WAL")
  db.pragma("synchronous = NORMAL")
  db.exec(`CREATE TABLE IF NOT EXISTS deployments (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, status TEXT NOT NULL, in_use INTEGER NOT NULL DEFAULT 0, worker_pid INTEGER,
    last_accessed TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)`)
  return db
}

/** Every process calls this at its start. It assumes that no process holds a hibernating deployment. */
export const populate = (db: Database.Database, names: ReadonlyArray<string>): void => {
  const put = db.prepare(`INSERT INTO deployments (name, id, status) VALUES (?, ?, 'HIBERNATING')
    ON CONFLICT (name) DO UPDATE SET status = excluded.status, in_use = 0, worker_pid = NULL`)
  db.transaction(() => names.forEach((name) => put.run(name, name)))()
}

/** `undefined`: the pool is empty, or the ledger is locked. */
export const allocate = async (db: Database.Database, pid: number): Promise<string | undefined> => {
  for (const pause of [10, 20, 40, 80]) {
    try {
      return db.transaction(() => {
        const row = db.prepare<[], { name: string }>(
          `SELECT name FROM deployments WHERE status = 'HIBERNATING' ORDER BY last_accessed LIMIT 1`
        ).get()
        if (row === undefined) return undefined
        db.prepare(
          `UPDATE deployments SET in_use = 1, worker_pid = ?, last_accessed = CURRENT_TIMESTAMP WHERE name = ?`
        ).run(pid, row.name)
        return row.name
      }).deferred()
    } catch (error) {
      if (!String((error as { code?: unknown }).code).startsWith("SQLITE_BUSY")) throw error
      await sleep(pause)
    }
  }
  return undefined
}

/** Releases by name, even if another process holds the deployment by now. */
export const release = (db: Database.Database, name: string): void =>
  void db.prepare(`UPDATE deployments SET in_use = 0, worker_pid = NULL, status = 'HIBERNATING' WHERE name = ?`).run(
    name
  )
