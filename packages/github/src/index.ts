/**
 * @since 0.1.0
 */
export * as GithubConfig from "./GithubConfig.js"

/**
 * @since 0.1.0
 */
export * as GithubError from "./GithubError.js"

/**
 * @since 0.1.0
 */
export * as GithubRepository from "./GithubRepository.js"

/**
 * @since 0.1.0
 */
export * as GithubSecrets from "./GithubSecrets.js"

/**
 * @since 0.1.0
 */
export * as SealedBox from "./SealedBox.js"

/**
 * @since 0.1.0
 */
export * as SecretsDelivery from "./SecretsDelivery.js"
