import { SealedBox } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import sodium from "libsodium-wrappers"

// GitHub's own pattern for `encrypted_value`
const standardBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/

const keyPair = Effect.promise(async () => {
  await sodium.ready
  const keys = sodium.crypto_box_keypair()
  return { ...keys, text: Buffer.from(keys.publicKey).toString("base64") }
})

describe("SealedBox", () => {
  it.effect("encrypts what the key's owner can decrypt", () =>
    Effect.gen(function*() {
      const keys = yield* keyPair
      for (const value of ["", "a", "naïve 🔑\n", "x".repeat(48_000)]) {
        const sealed = yield* SealedBox.seal(keys.text, Redacted.make(value))
        assert.match(sealed, standardBase64)
        const bytes = Buffer.from(sealed, "base64")
        assert.strictEqual(bytes.length, Buffer.byteLength(value) + 48)
        const opened = sodium.crypto_box_seal_open(new Uint8Array(bytes), keys.publicKey, keys.privateKey)
        assert.strictEqual(Buffer.from(opened).toString("utf8"), value)
      }
    }))

  it.effect("never returns the same box twice", () =>
    Effect.gen(function*() {
      const { text } = yield* keyPair
      const seal = SealedBox.seal(text, Redacted.make("value"))
      assert.notStrictEqual(yield* seal, yield* seal)
    }))

  it.effect("refuses an invalid public key, and does not show the value", () =>
    Effect.gen(function*() {
      for (
        const key of [
          "",
          "not base64!",
          Buffer.alloc(31, 7).toString("base64"),
          Buffer.alloc(33, 7).toString("base64"),
          Buffer.alloc(32).toString("base64"),
          Buffer.alloc(32, 255).toString("base64url")
        ]
      ) {
        const error = yield* Effect.flip(SealedBox.seal(key, Redacted.make("CANARY")))
        assert.strictEqual(error._tag, "PublicKeyInvalid")
        assert.notInclude(error.message, "CANARY")
      }
    }))
})
