/**
 * A checked account, in a form that one process passes to others: token, organization and workspace are checked once in a test run,
 * and every worker relies on that check.
 *
 * @since 0.1.0
 */
import type { Account } from "@airflow-resource/core/DeploymentProvider"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { AstroConfig } from "./AstroConfig.js"

/**
 * The value of `AstroConfig.accountVariable` for processes with the same configuration. It is not a secret.
 *
 * @since 0.1.0
 * @category constructors
 */
export const encode = (config: AstroConfig, { organizationId }: Account): Effect.Effect<string> =>
  Effect.map(fingerprint(config), (hash) => `${organizationId}:${hash}`)

/**
 * The account, if another process has checked it with exactly this configuration. `None` otherwise, for example for another token.
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode = (config: AstroConfig): Effect.Effect<Option.Option<Account>> =>
  Effect.map(fingerprint(config), (hash) => {
    const [organizationId = "", checked] = Option.getOrElse(config.checked ?? Option.none(), () => "").split(":")
    return checked === hash ? Option.some(accountOf(config, organizationId)) : Option.none()
  })

/**
 * The account of a configuration whose organization is known.
 *
 * @since 0.1.0
 * @category constructors
 */
export const accountOf = ({ apiUrl, workspaceId }: AstroConfig, organizationId: string): Account => ({
  host: new URL(apiUrl).host,
  organizationId,
  workspaceId
})

// internal

const fingerprint = ({ apiUrl, organizationId, token, workspaceId }: AstroConfig) => {
  const text = [apiUrl, workspaceId, Option.getOrElse(organizationId, () => ""), Redacted.value(token)].join("\n")
  return Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))),
    (digest) => Encoding.encodeHex(new Uint8Array(digest)).slice(0, 32)
  )
}
