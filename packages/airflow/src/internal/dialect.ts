/**
 * The differences between the two APIs.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Airflow, Dag, Health, Pool, TaskInstance, Variable } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import { segment } from "./path.js"
import { defaultPool, type NewRun, type Primitives } from "./primitives.js"
import type { Rest } from "./rest.js"
import { apiError } from "./transport.js"

/** What an Airflow keeps in collections. */
export type Kind = "variable" | "connection" | "pool"

/** The part of an Airflow over HTTP that depends on its API. */
export interface Dialect extends Pick<Primitives, "liveDag" | "hiddenLeftovers" | "followRun" | "readLog"> {
  readonly health: Effect.Effect<Health, AirflowApiError>
  /** The query parameter that includes inactive DAGs in a list. */
  readonly allDagsQuery: string
  /** Orders in which rows keep their places while others are added and deleted. */
  readonly stableOrders: { readonly connections: string; readonly importErrors: string }
  readonly dagSource: (dag: Dag) => Effect.Effect<string, AirflowApiError>
  readonly runBody: (run: NewRun) => Record<string, unknown>
  readonly taskInstances: (dagId: string, runId: string) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
  readonly xcom: Airflow["xcom"]
  readonly putVariable: (variable: Variable) => Effect.Effect<void, AirflowApiError>
  readonly putPool: (pool: Pool) => Effect.Effect<void, AirflowApiError>
  readonly delete: (kind: Kind, name: string) => Effect.Effect<void, AirflowApiError>
  readonly deleteAll: (kind: Kind, names: ReadonlyArray<string>) => Effect.Effect<void, AirflowApiError>
  /** Relative to the path of a DAG. */
  readonly queuedEventsPath: string
  /** Relative to the base URL. */
  readonly usersPath: string
  /** Whether an error of a request for users means that this Airflow does not manage its users itself. */
  readonly isWithoutUsers: (error: AirflowApiError) => boolean
}

/** The name of a collection in paths and responses. */
export const plural: Record<Kind, string> = { variable: "variables", connection: "connections", pool: "pools" }

export const pathTo = (kind: Kind, name: string) => `/${plural[kind]}/${segment(name)}`

export const deleteFrom = ({ deleteIfExists }: Rest) => (kind: Kind, name: string) =>
  deleteIfExists(`delete the ${kind} ${name}`, pathTo(kind, name))

/**
 * All fields, because an update keeps those that are missing. The description of the default pool cannot be changed.
 */
export const poolFields = ({ description = "", includeDeferred = false, name, slots }: Pool) =>
  name === defaultPool
    ? { name, slots, include_deferred: includeDeferred }
    : { name, slots, description, include_deferred: includeDeferred }

/** The server may need long to read a log. Callers set a limit to what they do with it. */
export const logLimits = (part: "all" | "end") => ({
  timeout: Duration.minutes(5),
  ...(part === "all" ? { maxBytes: 128 * 1024 * 1024 } : { maxBytes: 256 * 1024, longer: "end" as const })
})

export const dagNotLive = (dagId: string) =>
  apiError(`read the DAG ${dagId}`, {
    kind: "notFound",
    detail: "its file was deleted or cannot be imported",
    remedy: "Check importErrors."
  })

export const cannotFollow = (dagId: string, runId: string) =>
  apiError(`follow the run ${runId} of ${dagId}`, {
    kind: "unsupported",
    detail: "this Airflow cannot stream the states of a run",
    remedy: "Poll, or use Airflow 3.1 or later."
  })
