/**
 * The six methods of the pytest fixture's `Airflow_Local`, by means of the others.
 */
import * as Effect from "effect/Effect"
import type { Airflow } from "../../Airflow.js"
import { RunFailed } from "../../Airflow.js"
import * as AirflowReadiness from "../../AirflowReadiness.js"

export type Helpers = Pick<
  Airflow,
  | "waitForAirflowToBeReady"
  | "verifyAirflowDagExists"
  | "unpauseAndTriggerAirflowDag"
  | "verifyDagIdRan"
  | "getTaskInstanceLogs"
  | "checkDagTaskInstances"
>

export const withHelpers = (airflow: Omit<Airflow, keyof Helpers>): Airflow => ({
  ...airflow,
  waitForAirflowToBeReady: (options) => AirflowReadiness.awaitReady(airflow, options),
  verifyAirflowDagExists: (dagId) =>
    Effect.map(airflow.dag(dagId), ({ isActive }) => isActive).pipe(
      Effect.catchIf((error) => error.kind === "notFound", () => Effect.succeed(false))
    ),
  unpauseAndTriggerAirflowDag: (dagId, options) =>
    Effect.gen(function*() {
      yield* airflow.setPaused(dagId, false)
      const { runId } = yield* airflow.trigger(dagId, options)
      return runId
    }),
  verifyDagIdRan: (dagId, runId, options) =>
    Effect.gen(function*() {
      const run = yield* airflow.awaitRun(dagId, runId, options)
      if (run.state === "success") return run
      const tasks = yield* airflow.taskInstances(dagId, runId)
      return yield* new RunFailed({
        dagId,
        runId,
        tasks: tasks.filter(({ state }) => state !== "success").map(({ state, taskId }) => ({ taskId, state }))
      })
    }),
  getTaskInstanceLogs: (dagId, runId, taskId) => airflow.taskLog(dagId, runId, taskId),
  checkDagTaskInstances: (dagId, runId) => airflow.taskInstances(dagId, runId)
})
