/**
 * A real Airflow on this machine, as a deployment that tests can lease.
 *
 * @since 0.1.0
 */
export * as AirflowSettings from "./AirflowSettings.js"
export * as AirflowVersion from "./AirflowVersion.js"
export * as LocalDelivery from "./LocalDelivery.js"
export * as LocalHome from "./LocalHome.js"
export * as LocalProvider from "./LocalProvider.js"
export * as PostgresServer from "./PostgresServer.js"
export * as PythonEnvironment from "./PythonEnvironment.js"
