/**
 * Time limits for uninterruptible callers: see `@airflow-resource/airflow/TimeLimit`.
 *
 * @since 0.1.0
 */
export * from "@airflow-resource/airflow/TimeLimit"
