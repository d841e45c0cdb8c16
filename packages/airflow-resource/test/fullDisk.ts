// The command, on a disk that has no room for more than one page of SQLite.
import Database from "better-sqlite3"

const { pragma } = Database.prototype
Database.prototype.pragma = function(...args) {
  const result = pragma.apply(this, args)
  pragma.call(this, "max_page_count = 1")
  return result
}

await import("../src/main.js")
