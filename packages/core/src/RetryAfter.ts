/**
 * How long a server tells its clients to wait: see `@airflow-resource/airflow/RetryAfter`. Exported here too for implementations of this
 * package's tags, which do not depend on the client for Airflow.
 *
 * @since 0.1.0
 */
export * from "@airflow-resource/airflow/RetryAfter"
