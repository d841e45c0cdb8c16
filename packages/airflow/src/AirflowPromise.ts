/**
 * The client for code that does not use Effect: promises and async iterables instead of effects and streams. It is
 * derived from {@link Airflow}, in types and at run time.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Airflow, AirflowVersion, Dag } from "./Airflow.js"
import * as Plain from "./Plain.js"

/**
 * A client for one Airflow. Every member of {@link Airflow} is here under the same name:
 *
 * - what is an effect there is a method without parameters here: `await airflow.dags()`
 * - a method returns a promise, and `tailTaskLog` an async iterable
 * - facts are plain: see `Plain.Plain`. Methods accept a `Date` for a `DateTime`, and a string for a `Redacted`
 *
 * A promise is rejected with the error that the effect fails with, such as `RunFailed`: its `_tag` says which one it is.
 * Its stack begins with the line of the call.
 *
 * @since 0.1.0
 * @category models
 */
export interface AirflowPromise extends Plain.Plain<Airflow> {}

/**
 * Derives the client from the one for Effect.
 *
 * @example
 * ```ts
 * import * as AirflowApi from "@airflow-resource/airflow/AirflowApi"
 * import * as AirflowPromise from "@airflow-resource/airflow/AirflowPromise"
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const credentials = { _tag: "Password", username: "admin", password: Redacted.make("admin") } as const
 * const airflow = await Effect.flatMap(
 *   AirflowApi.AirflowApi,
 *   ({ connect }) => connect({ baseUrl: "http://127.0.0.1:8080", credentials })
 * ).pipe(
 *   Effect.map(AirflowPromise.make),
 *   Effect.provide(Layer.provide(AirflowApi.layer, FetchHttpClient.layer)),
 *   Effect.runPromise
 * )
 *
 * const { runId } = await airflow.runDag("hello_world_dag", { timeout: "2 minutes" })
 * for await (const { message } of airflow.tailTaskLog("hello_world_dag", runId, "hello")) process.stdout.write(message)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (airflow: Airflow, options: Plain.Options = {}): AirflowPromise => {
  const members = (object: object, conversions: object): object =>
    Object.create(
      Object.prototype,
      Object.fromEntries(
        Object.getOwnPropertyNames(object).map((name) => {
          const enumerable = Object.prototype.propertyIsEnumerable.call(object, name)
          const member: unknown = Reflect.get(object, name)
          const conversion: unknown = Reflect.get(conversions, name)
          return [name, { value: convert(member, conversion), enumerable }]
        })
      )
    )
  const convert = (member: unknown, conversion: unknown): unknown => {
    if (typeof member === "function") {
      return Plain.operation(
        typeof conversion === "function" ? (...args) => member(...conversion(...args)) : (...args) => member(...args),
        options
      )
    }
    return Predicate.isRecord(member) && !Effect.isEffect(member)
      ? members(member, conversion ?? {})
      : Plain.from(member, options)
  }
  return members(airflow, conversions) as AirflowPromise
}

// internal

/**
 * How to convert the arguments of a method, for each method of the client whose plain arguments are not those of the
 * original.
 */
type Conversions<Members> = {
  readonly [Name in keyof Members as NeedsConversion<Members[Name]> extends true ? Name : never]: Members[Name] extends
    (...args: infer Args) => unknown ? (...args: Plain.Argument<Args>) => Args : Conversions<Members[Name]>
}

type NeedsConversion<Member> = Member extends Effect.Effect<unknown, unknown> | string | AirflowVersion ? false
  : Member extends (...args: infer Args) => unknown ? [Plain.Argument<Args>] extends [Args] ? false : true
  : keyof Conversions<Member> extends never ? false
  : true

const time = <A>(value: A | Date) => Predicate.isDate(value) ? DateTime.unsafeMake(value) : value

const secret = <A>(value: A | string) => typeof value === "string" ? Redacted.make(value) : value

const effectful = <State>(f: ((state: State) => void | PromiseLike<void>) | undefined) =>
  f && ((state: State) => Effect.promise(async () => f(state)))

const conversions: Conversions<Airflow> = {
  awaitDag: (dagId, { since, ...options } = {}) => [dagId, { ...options, since: time(since) }],
  hiddenLeftovers: (dags) => [dags.map((dag) => Plain.original(dag) as Dag)],
  trigger: (dagId, { logicalDate, ...options } = {}) => [dagId, { ...options, logicalDate: time(logicalDate) }],
  awaitRun: (dagId, runId, { onState, ...options } = {}) => [
    dagId,
    runId,
    { ...options, onState: effectful(onState) }
  ],
  runDag: (dagId, { logicalDate, onState, ...options } = {}) => [
    dagId,
    { ...options, logicalDate: time(logicalDate), onState: effectful(onState) }
  ],
  connections: { put: ({ password, ...connection }) => [{ ...connection, password: secret(password) }] },
  users: { create: ({ password, ...user }) => [{ ...user, password: secret(password) }] },
  waitForAirflowToBeReady: ({ since, ...options } = {}) => [{ ...options, since: time(since) }],
  unpauseAndTriggerAirflowDag: (dagId, { logicalDate, ...options } = {}) => [
    dagId,
    { ...options, logicalDate: time(logicalDate) }
  ],
  verifyDagIdRan: (dagId, runId, { onState, ...options } = {}) => [
    dagId,
    runId,
    { ...options, onState: effectful(onState) }
  ]
}
