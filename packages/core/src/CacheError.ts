/**
 * What can be wrong with a ledger.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The ledger cannot be used. `busy` and `io` may get better; the others need a person.
 *
 * @since 0.1.0
 * @category errors
 */
export class CacheError extends Schema.TaggedError<CacheError>("@airflow-resource/core/CacheError")("CacheError", {
  kind: Schema.Literal("notWritable", "foreign", "newer", "older", "corrupt", "network", "replaced", "busy", "io"),
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

const remedies: Record<CacheError["kind"], string> = {
  notWritable: "Make the folder writable, or name another file in AIRFLOW_RESOURCE_CACHE.",
  foreign: "Nothing was touched. Name another file in AIRFLOW_RESOURCE_CACHE, or move that one away.",
  newer: "Nothing was touched. Update airflow-resource, or name another file in AIRFLOW_RESOURCE_CACHE.",
  older:
    "Nothing was touched. `airflow-resource cache reset` makes a new one, which finds the pool's deployments again.",
  network: "SQLite needs a local disk: name another file in AIRFLOW_RESOURCE_CACHE.",
  replaced: "What it held is lost. Run again; the new file finds the pool's deployments again.",
  corrupt: "Nothing was touched. Move the file away: a new ledger finds the pool's deployments again.",
  busy: "Another process keeps its write lock. Is one stopped or in a debugger?",
  io: "Is the disk full, or the file gone?"
}
