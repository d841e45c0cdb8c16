/** The database of a deployment's Airflow: facts, which change in place and only by requests. */
import type { Json } from "../Http.js"
import type { RunFacts } from "./Runs.js"
import type { Entry } from "./TaskLog.js"

/** What a deployment's Airflow remembers; it survives hibernation. */
export interface Metadata {
  /** When a DAG was paused and unpaused, by DAG id. */
  readonly pauses: Map<string, Array<{ readonly at: number; readonly paused: boolean }>>
  runs: Array<RunFacts>
  /** DAGs that were deleted, whether or not their files stayed. */
  readonly deletedDags: Array<{ readonly dagId: string; readonly at: number }>
  /** When a file was asked to be parsed again, by file. */
  readonly reparses: Map<string, number>
  /** What was written through the API. */
  xcoms: Array<XCom>
  /** What runs that were deleted have left. */
  readonly logFiles: Map<string, ReadonlyArray<Entry>>
  readonly variables: Map<string, { readonly value: string; readonly description: string | null }>
  readonly connections: Map<string, Json>
  readonly pools: Map<
    string,
    { readonly slots: number; readonly description: string | null; readonly includeDeferred: boolean }
  >
  /** When there was no default pool. */
  readonly poolGaps: Array<{ readonly from: number; to: number }>
  readonly users: Map<string, Json>
}

export const emptyMetadata = (): Metadata => ({
  pauses: new Map(),
  runs: [],
  deletedDags: [],
  reparses: new Map(),
  xcoms: [],
  logFiles: new Map(),
  variables: new Map(),
  connections: new Map(),
  pools: new Map([["default_pool", { slots: 128, description: "Default pool", includeDeferred: false }]]),
  poolGaps: [],
  users: new Map()
})

/** What was written through the API, or pushed by a task. */
export interface XCom {
  readonly dagId: string
  readonly runId: string
  readonly taskId: string
  readonly mapIndex: number
  readonly key: string
  readonly at: number
  readonly value: unknown
  readonly isDeleted: boolean
}
