/**
 * Real time inside `it.scoped`: see `@airflow-resource/airflow/PinnedClock`.
 *
 * @since 0.1.0
 */
export * from "@airflow-resource/airflow/PinnedClock"
