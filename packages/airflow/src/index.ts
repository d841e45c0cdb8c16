/**
 * A typed client for Airflow 2 and 3. Knows no deployment, provider or pool.
 *
 * @since 0.1.0
 */
export * as Airflow from "./Airflow.js"
export * as AirflowApi from "./AirflowApi.js"
export * as AirflowError from "./AirflowError.js"
export * as AirflowPromise from "./AirflowPromise.js"
export * as AirflowReadiness from "./AirflowReadiness.js"
export * as AirflowReset from "./AirflowReset.js"
export * as CallSite from "./CallSite.js"
export * as PinnedClock from "./PinnedClock.js"
export * as Plain from "./Plain.js"
export * as Polling from "./Polling.js"
export * as RetryAfter from "./RetryAfter.js"
export * as TaskLog from "./TaskLog.js"
export * as TimeLimit from "./TimeLimit.js"
