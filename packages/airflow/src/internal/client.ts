/**
 * A whole client, made of what an Airflow does by itself.
 */
import * as Effect from "effect/Effect"
import type { Airflow } from "../Airflow.js"
import * as AirflowReadiness from "../AirflowReadiness.js"
import type * as PinnedClock from "../PinnedClock.js"
import { awaitDag } from "./dags.js"
import type { Primitives } from "./primitives.js"
import { awaitRun, awaitSuccess, trigger } from "./runs.js"
import { assertTasks, tailTaskLog, taskLog } from "./tasks.js"

export type Pin = Effect.Effect.Success<typeof PinnedClock.pin>

/** Every member keeps the clock of `pin`, wherever it is called. */
export const make = (primitives: Primitives, pin: Pin): Airflow => {
  const { followRun: _followRun, liveDag: _liveDag, readLog: _readLog, startRun: _startRun, ...offered } = primitives
  const airflow: Airflow = {
    ...offered,
    awaitDag: (dagId, options) => awaitDag(primitives, dagId, options),
    trigger: (dagId, options) => trigger(primitives, dagId, options),
    awaitRun: (dagId, runId, options) => awaitRun(primitives, dagId, runId, options),
    runDag: (dagId, options) =>
      Effect.flatMap(
        trigger(primitives, dagId, options),
        ({ runId }) => awaitSuccess(primitives, dagId, runId, options)
      ),
    assertTasks: (dagId, runId, expected) => assertTasks(primitives, dagId, runId, expected),
    taskLog: (dagId, runId, taskId, options) => taskLog(primitives, dagId, runId, taskId, options),
    tailTaskLog: (dagId, runId, taskId, options) => tailTaskLog(primitives, pin, dagId, runId, taskId, options),

    waitForAirflowToBeReady: (options) => AirflowReadiness.awaitReady(primitives, options),
    verifyAirflowDagExists: (dagId) =>
      Effect.map(primitives.dag(dagId), ({ isActive }) => isActive).pipe(
        Effect.catchIf((error) => error.kind === "notFound", () => Effect.succeed(false))
      ),
    unpauseAndTriggerAirflowDag: (dagId, options) =>
      Effect.map(trigger(primitives, dagId, options), ({ runId }) => runId),
    verifyDagIdRan: (dagId, runId, options) => awaitSuccess(primitives, dagId, runId, options),
    getTaskInstanceLogs: (dagId, runId, taskId) =>
      Effect.map(taskLog(primitives, dagId, runId, taskId), ({ text }) => text),
    checkDagTaskInstances: primitives.taskInstances
  }
  return onClock(airflow, pin)
}

// internal

/** Effects, and what answers effects, in an object and the objects in it. */
const onClock = <A extends object>(members: A, pin: Pin): A =>
  Object.fromEntries(Object.entries(members).map(([name, member]) => [name, pinned(member, pin)])) as A

const pinned = (member: unknown, pin: Pin): unknown => {
  if (Effect.isEffect(member)) return pin(member as Effect.Effect<unknown, unknown>)
  if (typeof member === "function") {
    return (...args: ReadonlyArray<unknown>) => {
      const answer: unknown = member(...args)
      return Effect.isEffect(answer) ? pin(answer as Effect.Effect<unknown, unknown>) : answer
    }
  }
  return typeof member === "object" && member !== null ? onClock(member, pin) : member
}
