/**
 * Astronomer (Astro) as a provider of Airflow deployments.
 *
 * @since 0.1.0
 */
export * as AstroApi from "./AstroApi.js"
export * as AstroConfig from "./AstroConfig.js"
export * as AstroProject from "./AstroProject.js"
