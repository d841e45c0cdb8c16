/** The key pair of a repository, and the sealed boxes that only it can open. No other file imports libsodium. */
import * as Effect from "effect/Effect"
import sodium from "libsodium-wrappers"

/** Has to run before the functions below, which do not exist until libsodium is initialized. */
export const ready: Effect.Effect<void> = Effect.promise(() => sodium.ready)

export interface KeyPair {
  readonly publicKey: Uint8Array
  readonly privateKey: Uint8Array
}

export const keyPair = (seed: Uint8Array): KeyPair => sodium.crypto_box_seed_keypair(seed)

/** The text in a sealed box; `undefined` if it was not sealed for this key. */
export const open = (sealed: Uint8Array, key: KeyPair): string | undefined => {
  try {
    return Buffer.from(sodium.crypto_box_seal_open(sealed, key.publicKey, key.privateKey)).toString("utf8")
  } catch {
    return undefined
  }
}
