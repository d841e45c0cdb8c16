/**
 * What happened in an emulator, for tests to assert on.
 *
 * @since 0.1.0
 */
export * as AuditLog from "./AuditLog.js"

/**
 * DAGs as data.
 *
 * @since 0.1.0
 */
export * as Dags from "./Dags.js"

/**
 * Astro, GitHub's repository secrets and Airflow over real HTTP in one process.
 *
 * @since 0.1.0
 */
export * as Emulator from "./Emulator.js"

/**
 * Faults: failures of single requests.
 *
 * @since 0.1.0
 */
export * as Faults from "./Faults.js"

/**
 * The lifecycle of a deployment.
 *
 * @since 0.1.0
 */
export * as Lifecycle from "./Lifecycle.js"

/**
 * Quirks: what Astro does occasionally although it is up.
 *
 * @since 0.1.0
 */
export * as Quirks from "./Quirks.js"
