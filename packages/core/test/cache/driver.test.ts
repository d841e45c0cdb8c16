import { assert, describe, it } from "@effect/vitest"
import { toCacheError } from "../../src/internal/sqlite/transactions.js"

describe("SQLite's driver", () => {
  it("is named if its binary does not fit, which says nothing about the disk", () => {
    const otherNode = Object.assign(
      new Error("was compiled against a different Node.js version\nNODE_MODULE_VERSION 108"),
      {
        code: "ERR_DLOPEN_FAILED"
      }
    )
    const notBuilt = new Error("Could not locate the bindings file. Tried:\n → /a\n → /b")
    for (const cause of [otherNode, notBuilt]) {
      const error = toCacheError("/cache.db", cause)
      assert.deepInclude({ ...error, retryable: error.retryable }, {
        kind: "driver",
        path: "/cache.db",
        retryable: false
      })
      assert.match(
        error.message,
        /better-sqlite3 is not built for this Node\.js \(v[\d.]+\)\. Run `npm rebuild better-sqlite3`/
      )
      assert.notInclude(error.message, "disk")
    }
    assert.strictEqual(
      toCacheError("/cache.db", Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR" })).kind,
      "io"
    )
  })
})
