/**
 * Encrypts a secret as GitHub requires: a sealed box for the repository's public key, in standard base64. The only module that uses
 * libsodium, which is loaded by the first call.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/**
 * GitHub returned an invalid public key.
 *
 * @since 0.1.0
 * @category errors
 */
export class PublicKeyInvalid extends Schema.TaggedError<PublicKeyInvalid>("@airflow-resource/github/PublicKeyInvalid")(
  "PublicKeyInvalid",
  { detail: Schema.String }
) {
  override get message(): string {
    return `Could not encrypt the secret: ${this.detail}. Check that GITHUB_API_URL is the address of GitHub's API.`
  }
  readonly retryable = false
}

/**
 * Encrypts a value so that only the owner of the key can decrypt it. Each result differs, because every box has an ephemeral key of
 * its own. Fails with `PublicKeyInvalid`.
 *
 * @example
 * ```ts
 * import * as SealedBox from "@airflow-resource/github/SealedBox"
 * import * as Redacted from "effect/Redacted"
 *
 * export const sealed = SealedBox.seal("2Sg8iYjAxxmI2LvUXpJjkYrMxURPc8r+dB7TJyvvcCU=", Redacted.make("a value"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const seal = (
  publicKey: string,
  value: Redacted.Redacted
): Effect.Effect<string, PublicKeyInvalid> =>
  Effect.flatMap(libsodium, (sodium) => {
    const standard = sodium.base64_variants.ORIGINAL
    const box = Effect.try({
      try: () => {
        const key = sodium.from_base64(publicKey, standard)
        return key.length === 32 ? sodium.crypto_box_seal(sodium.from_string(Redacted.value(value)), key) : undefined
      },
      catch: () => new PublicKeyInvalid({ detail: "the public key is not base64, or is weak" })
    })
    return Effect.flatMap(box, (sealed) =>
      sealed === undefined
        ? Effect.fail(new PublicKeyInvalid({ detail: "the public key does not have 32 bytes" }))
        : sealed.length < overhead
        ? Effect.die(new Error(`a sealed box has at least ${overhead} bytes`))
        : Effect.succeed(sodium.to_base64(sealed, standard)))
  })

// internal

/** In bytes: an ephemeral public key (32) and a tag (16). */
const overhead = 48

/** Its functions do not exist until `ready`. The module system caches it, so that it is initialized once per process. */
const libsodium = Effect.promise(async () => {
  const { default: sodium } = await import("libsodium-wrappers")
  await sodium.ready
  return sodium
})
