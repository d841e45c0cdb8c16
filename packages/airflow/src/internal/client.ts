/**
 * A complete client, built from the primitives of an Airflow.
 */
import * as Effect from "effect/Effect"
import type { Airflow } from "../Airflow.js"
import * as AirflowReadiness from "../AirflowReadiness.js"
import { awaitDag } from "./dags.js"
import type { Primitives } from "./primitives.js"
import { awaitRun, awaitSuccess, trigger } from "./runs.js"
import { assertTasks, tailTaskLog, taskLog } from "./tasks.js"
import type { Pin } from "./tracing.js"
import { traced } from "./tracing.js"

/** Each operation is a span and runs under the clock of `pin`, wherever it is called. */
export const make = (primitives: Primitives, pin: Pin): Airflow => {
  const {
    followRun: _followRun,
    liveDag: _liveDag,
    readLog: _readLog,
    startRun: _startRun,
    ...publicPrimitives
  } = primitives
  const airflow: Airflow = traced({
    ...publicPrimitives,
    awaitDag: (dagId, options) => awaitDag(primitives, dagId, options),
    trigger: (dagId, options) => trigger(primitives, dagId, options),
    awaitRun: (dagId, runId, options) => awaitRun(primitives, dagId, runId, options),
    // in steps, so that the trigger and the wait are spans
    runDag: (dagId, options) =>
      Effect.flatMap(airflow.trigger(dagId, options), ({ runId }) =>
        Effect.zipRight(
          Effect.annotateCurrentSpan("run_id", runId),
          airflow.verifyDagIdRan(dagId, runId, options)
        )),
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
  }, pin)
  return airflow
}
