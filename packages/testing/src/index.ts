/**
 * Leased Airflow deployments in vitest.
 *
 * @since 0.1.0
 */
export * from "./airflowTest.js"
export * from "./TestingError.js"
