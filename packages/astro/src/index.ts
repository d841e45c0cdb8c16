/**
 * Astronomer (Astro) as a provider of Airflow deployments.
 *
 * @since 0.1.0
 */
export * as AstroAccount from "./AstroAccount.js"
export * as AstroApi from "./AstroApi.js"
export * as AstroCli from "./AstroCli.js"
export * as AstroCliError from "./AstroCliError.js"
export * as AstroCliVersion from "./AstroCliVersion.js"
export * as AstroConfig from "./AstroConfig.js"
export * as AstroCredentials from "./AstroCredentials.js"
export * as AstroDelivery from "./AstroDelivery.js"
export * as AstroPrerequisites from "./AstroPrerequisites.js"
export * as AstroProject from "./AstroProject.js"
