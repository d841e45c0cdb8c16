/**
 * What the two APIs do differently.
 */
import type * as Effect from "effect/Effect"
import type { Airflow, Dag, Health, Pool, TaskInstance, Variable } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"
import type { NewRun, Primitives } from "./primitives.js"
import type { Rest } from "./rest.js"
import { fail, segment } from "./transport.js"

export type Kind = "variable" | "connection" | "pool"

export interface Dialect extends Pick<Primitives, "liveDag" | "followRun" | "readLog"> {
  readonly health: Effect.Effect<Health, AirflowApiError>
  /** The query that lists inactive DAGs too. */
  readonly everyDag: string
  /** An order in which rows keep their places while others come and go. */
  readonly orders: { readonly connections: string; readonly importErrors: string }
  readonly dagSource: (dag: Dag) => Effect.Effect<string, AirflowApiError>
  readonly runBody: (run: NewRun) => Record<string, unknown>
  readonly taskInstances: (dagId: string, runId: string) => Effect.Effect<ReadonlyArray<TaskInstance>, AirflowApiError>
  readonly xcom: Airflow["xcom"]
  readonly putVariable: (variable: Variable) => Effect.Effect<void, AirflowApiError>
  readonly putPool: (pool: Pool) => Effect.Effect<void, AirflowApiError>
  readonly remove: (kind: Kind, name: string) => Effect.Effect<void, AirflowApiError>
  readonly removeAll: (kind: Kind, names: ReadonlyArray<string>) => Effect.Effect<void, AirflowApiError>
  /** Below a DAG. */
  readonly queuedEventsPath: string
  /** Below the base URL. */
  readonly usersPath: string
  /** Whether this answer means that Airflow does not manage users itself. */
  readonly hasNoUsers: (error: AirflowApiError) => boolean
}

/** Where the API keeps them. */
export const plural: Record<Kind, string> = { variable: "variables", connection: "connections", pool: "pools" }

export const removeBy = ({ remove }: Rest) => (kind: Kind, name: string) =>
  remove(`remove the ${kind} ${name}`, `/${plural[kind]}/${segment(name)}`)

/** All of them, since a change leaves what is not sent; but nobody may describe the default pool. */
export const poolFields = ({ description = "", includeDeferred = false, name, slots }: Pool) =>
  name === "default_pool"
    ? { name, slots, include_deferred: includeDeferred }
    : { name, slots, description, include_deferred: includeDeferred }

export const notLive = (dagId: string) =>
  fail(`read the DAG ${dagId}`, {
    kind: "notFound",
    detail: "its file is gone, or cannot be imported",
    remedy: "Look at importErrors."
  })

export const notFollowed = (dagId: string, runId: string) =>
  fail(`follow the run ${runId} of ${dagId}`, {
    kind: "unsupported",
    detail: "this Airflow has no such answer",
    remedy: "Poll, or use Airflow 3.1 or later."
  })
