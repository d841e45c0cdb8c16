/**
 * An account that was checked, in a form that one process hands to others: token, organization and workspace are looked at once in
 * a test run, and every worker goes by that.
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
 * The value of `AstroConfig.accountVariable` for processes with the same configuration. It is no secret.
 *
 * @since 0.1.0
 * @category constructors
 */
export const encode = (config: AstroConfig, { organizationId }: Account): Effect.Effect<string> =>
  Effect.map(fingerprint(config), (print) => `${organizationId}:${print}`)

/**
 * The account, where it was checked with this very configuration; another token, for one, has to be checked anew.
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode = (config: AstroConfig): Effect.Effect<Option.Option<Account>> =>
  Effect.map(fingerprint(config), (print) => {
    const [organizationId = "", checked] = Option.getOrElse(config.checked ?? Option.none(), () => "").split(":")
    return checked === print ? Option.some(accountOf(config, organizationId)) : Option.none()
  })

/**
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
