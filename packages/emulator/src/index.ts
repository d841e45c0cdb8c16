/**
 * What happened, for tests to ask.
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
 * Astro, GitHub's secrets and Airflow over real HTTP in one process.
 *
 * @since 0.1.0
 */
export * as Emulator from "./Emulator.js"

/**
 * Trouble on demand.
 *
 * @since 0.1.0
 */
export * as Faults from "./Faults.js"

/**
 * The life of a deployment.
 *
 * @since 0.1.0
 */
export * as Power from "./Power.js"

/**
 * What Astro does now and then.
 *
 * @since 0.1.0
 */
export * as Quirks from "./Quirks.js"
