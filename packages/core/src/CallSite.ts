/**
 * Where a function is called: see `@airflow-resource/airflow/CallSite`. Exported here too for packages that do not depend on the client
 * for Airflow.
 *
 * @since 0.1.0
 */
export * from "@airflow-resource/airflow/CallSite"
