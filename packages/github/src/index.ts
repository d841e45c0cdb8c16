/**
 * Delivery of DAG code through a GitHub repository.
 *
 * @since 0.1.0
 */
export * as GithubConfig from "./GithubConfig.js"
export * as GithubError from "./GithubError.js"
export * as GithubRepository from "./GithubRepository.js"
export * as GithubSecrets from "./GithubSecrets.js"
export * as SealedBox from "./SealedBox.js"
export * as SecretsDelivery from "./SecretsDelivery.js"
