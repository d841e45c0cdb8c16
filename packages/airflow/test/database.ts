/** The tables of the real Airflow's database. */
import Database from "better-sqlite3"
import { Effect } from "effect"
import { database } from "./real.js"

/** The rows of each table, as text. */
export type Tables = Readonly<Record<string, ReadonlySet<string>>>

/** What changes with time: when Airflow has looked at something, and when the next run of a DAG would start. */
const volatile = /^(last_parse|last_refreshed|last_updated|latest_heartbeat|next_dagrun|timestamp|updated_at)/

/** SQLite, whose foreign keys Airflow leaves off, accepts what a task writes after its run was deleted. Other databases do not. */
const conditions: Readonly<Record<string, string>> = {
  xcom: " WHERE dag_run_id IN (SELECT id FROM dag_run)"
}

export const readTables: Effect.Effect<Tables> = Effect.acquireUseRelease(
  Effect.sync(() => new Database(database, { readonly: true, fileMustExist: true })),
  (connection) =>
    Effect.sync(() => {
      const names = connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").pluck().all()
      return Object.fromEntries(names.map((name) => {
        const rows = connection.prepare<[], object>(`SELECT * FROM "${name}"${conditions[String(name)] ?? ""}`).all()
          .map((row) =>
            JSON.stringify(Object.fromEntries(Object.entries(row).filter(([column]) => !volatile.test(column))))
          )
        return [name, new Set(rows)]
      }))
    }),
  (connection) => Effect.sync(() => connection.close())
)

/** By table, the rows that only one of the two has, after `+` if they are new and after `-` if they are gone. */
export const differences = (before: Tables, after: Tables): Readonly<Record<string, ReadonlyArray<string>>> => {
  const none: ReadonlySet<string> = new Set()
  const names = Array.from(new Set([...Object.keys(before), ...Object.keys(after)])).sort()
  const missing = (rows: ReadonlySet<string>, others: ReadonlySet<string>, sign: string) =>
    Array.from(rows).filter((row) => !others.has(row)).map((row) => `${sign} ${row}`)
  return Object.fromEntries(names.flatMap((name) => {
    const [old = none, now = none] = [before[name], after[name]]
    const different = [...missing(old, now, "-"), ...missing(now, old, "+")]
    return different.length === 0 ? [] : [[name, different]]
  }))
}
