/**
 * What can be wrong with a ledger.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The ledger cannot be used. Only `busy` is worth a retry: everything else, a full disk too, stays as it is until the remedy is applied,
 * and a lease that waited for that would look as if it hung.
 *
 * @since 0.1.0
 * @category errors
 */
export class CacheError extends Schema.TaggedError<CacheError>("@airflow-resource/core/CacheError")("CacheError", {
  kind: Schema.Literal(
    "notWritable",
    "full",
    "foreign",
    "newer",
    "older",
    "corrupt",
    "network",
    "replaced",
    "busy",
    "io",
    "driver"
  ),
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `The cache ${this.path} cannot be used: ${this.detail}. ${this.remedy}`
  }
  /** What to do next. */
  get remedy(): string {
    return remedies[this.kind]
  }
  get retryable(): boolean {
    return this.kind === "busy"
  }
}

/**
 * The ledger cannot be deleted, because processes use it.
 *
 * @since 0.1.0
 * @category errors
 */
export class CacheInUse extends Schema.TaggedError<CacheInUse>("@airflow-resource/core/CacheInUse")("CacheInUse", {
  path: Schema.String,
  /** What uses it, one line each. */
  by: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The cache ${this.path} is in use:\n${this.by.map((use) => `  ${use}`).join("\n")}\n` +
      `Nothing was touched. Stop these processes, then run this again.`
  }
  readonly retryable = true
}

// internal

const remedies: Record<CacheError["kind"], string> = {
  notWritable: "Make the folder and the file writable, or set AIRFLOW_RESOURCE_CACHE to another file: " +
    "a new ledger finds the pool's deployments again.",
  full:
    "Free space on this disk, or raise the quota or the limit on file sizes that is reached, then run `airflow-resource reap`. " +
    "The ledger is intact and still knows the pool's deployments.",
  foreign: "Nothing was touched. Set AIRFLOW_RESOURCE_CACHE to another file, or move this one away.",
  newer: "Nothing was touched. Update airflow-resource, or set AIRFLOW_RESOURCE_CACHE to another file.",
  older: "Nothing was touched. Run `airflow-resource cache reset`: a new ledger finds the pool's deployments again.",
  network: "SQLite needs a local disk: set AIRFLOW_RESOURCE_CACHE to a file on one.",
  replaced: "Whatever this process held is lost. Run it again; the new ledger finds the pool's deployments again.",
  corrupt: "It was left as it is. Stop the processes that use it, and move it away together with its -wal and -shm: " +
    "a new ledger finds the pool's deployments again.",
  busy: "Another process keeps its write lock. Check for one that is stopped or in a debugger.",
  driver: "Run `npm rebuild better-sqlite3` with the Node.js that runs this. " +
    "If npm's install scripts are disabled, allow them for better-sqlite3.",
  io: "Check the disk, its quota, and the limit on file sizes (`ulimit -f`), then run `airflow-resource reap`."
}
