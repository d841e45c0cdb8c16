/**
 * Waiting for a run, and saying what stands in its way when it does not end.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Airflow, AirflowApiError, DagRun } from "../../Airflow.js"
import { RunStuck } from "../../Airflow.js"
import * as schedules from "../schedules.js"

export const awaitRun = (
  airflow: Pick<Airflow, "dag" | "health" | "run" | "taskInstances">,
  dagId: string,
  runId: string,
  timeout: Duration.DurationInput = "5 minutes"
): Effect.Effect<DagRun, AirflowApiError | RunStuck> =>
  Effect.gen(function*() {
    const ended = airflow.run(dagId, runId).pipe(
      // a webserver that restarts is no reason to give up
      Effect.retry({
        schedule: Schedule.upTo(schedules.backoff, "1 minute"),
        while: ({ retryable }) => retryable
      }),
      Effect.map(Option.liftPredicate(({ state }) => state === "success" || state === "failed"))
    )
    const found = yield* Effect.timeoutOption(schedules.untilSome(ended, schedules.poll), timeout)
    if (Option.isSome(found)) return found.value
    const { state } = yield* airflow.run(dagId, runId)
    const findings = yield* Effect.forEach([
      Effect.map(airflow.dag(dagId), ({ isPaused }) =>
        isPaused ? "the DAG is paused: unpause it" : "the DAG is not paused"),
      Effect.map(airflow.health, ({ scheduler }) =>
        `the scheduler is ${scheduler.status}`),
      Effect.map(airflow.taskInstances(dagId, runId), (tasks) =>
        `tasks: ${
          tasks.map((task) => `${task.taskId} ${task.state}`).join(", ") || "none yet"
        }`)
    ], (finding) => Effect.catchAll(finding, (error) => Effect.succeed(error.message)))
    const diagnosis = [`waited ${Duration.format(timeout)}`, ...findings].join("; ")
    return yield* new RunStuck({ dagId, runId, state, diagnosis })
  })
