/**
 * Spans of the client's operations.
 */
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Airflow, AirflowVersion } from "../Airflow.js"
import { callSite } from "../CallSite.js"
import type * as PinnedClock from "../PinnedClock.js"
import { withoutCredentials, withoutQuery } from "./url.js"

export type Pin = Effect.Effect.Success<typeof PinnedClock.pin>

type Attributes = Readonly<Record<string, string | number | boolean>>

/** The attributes of every span: which Airflow it is about. */
export const airflowAttributes = ({ baseUrl, version }: Pick<Airflow, "baseUrl" | "version">): Attributes => ({
  "airflow.url": withoutCredentials(baseUrl),
  "airflow.version": version.full
})

/**
 * Makes each operation of a client a span under the client's clock. Operations inside the client do not make spans, so
 * that a wait is one span, however often it polls.
 */
export const traced = (airflow: Airflow, pin: Pin): Airflow => {
  const common = airflowAttributes(airflow)

  const inSpan = (
    result: unknown,
    name: string,
    attributes: Attributes,
    captureStackTrace: LazyArg<string | undefined> | false
  ): unknown => {
    const options = { attributes: { ...common, ...attributes }, captureStackTrace }
    if (Effect.isEffect(result)) {
      return pin(Effect.withSpan(result as Effect.Effect<unknown, unknown>, name, options))
    }
    if (isStream(result)) {
      // `Stream.withSpan` would take the clock of the caller
      return Stream.unwrapScoped(Effect.map(
        pin(Effect.makeSpanScoped(name, options)),
        (span) => Stream.provideService(result, Tracer.ParentSpan, span)
      ))
    }
    return result
  }

  /**
   * Goes through an object and the collections in it. Only members that are effects or methods are operations. They are
   * not enumerable: whatever prints the client would print all that they refer to.
   */
  const members = (path: string, object: object, attributesOf: object): object =>
    withoutPrinting(
      Object.entries(object).map(([key, member]) => {
        const name = `${path}.${key}`
        const attributes: unknown = Reflect.get(attributesOf, key)
        if (typeof member === "function" && typeof attributes === "function") {
          const operation = (...args: ReadonlyArray<unknown>) =>
            inSpan(member(...args), name, attributes(...args) as Attributes, callSite())
          return [key, operation]
        }
        if (Effect.isEffect(member)) return [key, inSpan(member, name, {}, false)]
        return Predicate.isObject(attributes) ? [key, members(name, member, attributes)] : [key, member]
      })
    )

  return members("Airflow", airflow, operations) as Airflow
}

// internal

const withoutPrinting = (members: ReadonlyArray<readonly [string, unknown]>): object => {
  const isFact = ([name, value]: readonly [string, unknown]) => typeof value === "string" || name === "version"
  const hidden = members.filter((member) => !isFact(member)).map(([name, value]) => [name, { value }] as const)
  const facts = Object.fromEntries(members.filter(isFact))
  return Object.defineProperties({ ...facts }, { ...Object.fromEntries(hidden), toJSON: { value: () => facts } })
}

const isStream = (value: unknown): value is Stream.Stream<unknown, unknown> =>
  Predicate.hasProperty(value, Stream.StreamTypeId)

/** For each method, the attributes that its span gets from the arguments. */
type AttributesOf<Members> = {
  readonly [
    Name in keyof Members as Members[Name] extends Effect.Effect<unknown, unknown> | AirflowVersion | string ? never
      : Name
  ]: Members[Name] extends (...args: infer Args) => unknown ? (...args: Args) => Attributes :
    AttributesOf<Members[Name]>
}

const ofDag = (dagId: string): Attributes => ({ dag_id: dagId })

const ofRun = (dagId: string, runId: string): Attributes => ({ dag_id: dagId, run_id: runId })

const ofTask = (
  dagId: string,
  runId: string,
  taskId: string,
  options?: { readonly mapIndex?: number | undefined }
): Attributes => ({
  ...ofRun(dagId, runId),
  task_id: taskId,
  ...(options?.mapIndex === undefined ? {} : { map_index: options.mapIndex })
})

const ofCollection = <New>(attribute: string, nameOf: (item: New) => string) => {
  const ofName = (name: string): Attributes => ({ [attribute]: name })
  return { get: ofName, put: (item: New) => ofName(nameOf(item)), delete: ofName, deleteAll: () => ({}) }
}

/** Ids and names only. Values, conf, credentials and users stay out of spans. */
const operations: AttributesOf<Airflow> = {
  dag: ofDag,
  awaitDag: ofDag,
  requestReparse: ofDag,
  dagSource: ofDag,
  setPaused: (dagId, isPaused) => ({ ...ofDag(dagId), is_paused: isPaused }),
  queuedEvents: ofDag,
  deleteQueuedEvents: ofDag,
  hiddenLeftovers: () => ({}),
  deleteDag: ofDag,
  // the id of the new run is added once it is known
  trigger: ofDag,
  runDag: ofDag,
  unpauseAndTriggerAirflowDag: ofDag,
  runs: (dagId) => dagId === undefined ? {} : ofDag(dagId),
  run: ofRun,
  awaitRun: ofRun,
  setRunState: (dagId, runId, state) => ({ ...ofRun(dagId, runId), state }),
  clearRun: ofRun,
  deleteRun: ofRun,
  taskInstances: ofRun,
  assertTasks: ofRun,
  taskLog: ofTask,
  tailTaskLog: ofTask,
  xcom: ofTask,
  xcomKeys: ofTask,
  variables: ofCollection("variable_key", ({ key }) => key),
  connections: ofCollection("connection_id", ({ id }) => id),
  pools: ofCollection("pool_name", ({ name }) => name),
  users: { create: () => ({}), get: () => ({}), delete: () => ({}) },
  request: (method, path) => ({ "http.request.method": method, "url.path": withoutQuery(path) }),
  waitForAirflowToBeReady: () => ({}),
  verifyAirflowDagExists: ofDag,
  verifyDagIdRan: ofRun,
  getTaskInstanceLogs: ofTask,
  checkDagTaskInstances: ofRun
}
