/** The least that a ledger has to do: two immediate transactions of bare better-sqlite3, as durable as the pool's. */
import Database from "better-sqlite3"

export const open = (path: string, size: number) => {
  const db = new Database(path, { timeout: 30_000 })
  db.pragma("journal_mode = WAL")
  db.pragma("synchronous = FULL")
  db.transaction(() => {
    db.exec(`CREATE TABLE IF NOT EXISTS slots (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, holder TEXT);
      CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, slot INTEGER NOT NULL, detail TEXT NOT NULL)`)
    const insert = db.prepare("INSERT OR IGNORE INTO slots VALUES (?, 0, NULL)")
    for (let number = 1; number <= size; number++) insert.run(number)
  }).immediate()
  const take = db.prepare<[string], { number: number }>(
    `UPDATE slots SET epoch = epoch + 1, holder = ? WHERE number = (SELECT number FROM slots WHERE holder IS NULL LIMIT 1)
      RETURNING number`
  )
  const give = db.prepare("UPDATE slots SET holder = NULL WHERE number = ? AND holder = ?")
  const note = db.prepare("INSERT INTO events (slot, detail) VALUES (?, ?)")
  const claim = db.transaction((key: string) => {
    const slot = take.get(key)
    if (slot === undefined) throw new Error("bench:pool: no free slot, although there is one per process")
    note.run(slot.number, `granted to ${key}`)
    return slot.number
  })
  const release = db.transaction((number: number, key: string) => {
    give.run(number, key)
    note.run(number, `freed by ${key}`)
  })
  return { claimAndRelease: (key: string) => release.immediate(claim.immediate(key), key) }
}
