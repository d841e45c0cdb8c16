/** The metadata database of a deployment's Airflow: facts, which only requests change, in place. */
import type { Json } from "../Http.js"
import type { RunFacts } from "./Runs.js"
import type { Entry } from "./TaskLog.js"

/** It survives hibernation. */
export interface Metadata {
  /** When each DAG was paused and unpaused, by DAG id. */
  readonly pauses: Map<string, Array<{ readonly at: number; readonly paused: boolean }>>
  runs: Array<RunFacts>
  /** Ids of the DAGs that the only user has marked. */
  readonly favorites: Set<string>
  /** DAGs that were deleted, whether or not their files still exist. */
  readonly deletedDags: Array<{ readonly dagId: string; readonly at: number }>
  /** When the parsing of each file was last requested. */
  readonly reparses: Map<string, number>
  /** XComs that were written or deleted through the API, oldest first. */
  xcoms: Array<XCom>
  /** What deleted runs have left in each log file. */
  readonly logFiles: Map<string, ReadonlyArray<Entry>>
  readonly variables: Map<string, Variable>
  readonly connections: Map<string, Json>
  readonly pools: Map<string, Pool>
  /** When there was no default pool. */
  readonly poolGaps: Array<{ readonly from: number; to: number }>
  readonly users: Map<string, Json>
}

export interface Variable {
  readonly value: string
  readonly description: string | null
}

export interface Pool {
  readonly slots: number
  readonly description: string | null
  readonly includeDeferred: boolean
}

/** Pushed by a task, or written through the API. */
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

export const emptyMetadata = (): Metadata => ({
  pauses: new Map(),
  runs: [],
  favorites: new Set(),
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
