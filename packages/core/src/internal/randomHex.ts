/** Random ids. */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Random from "effect/Random"

/** Two hexadecimal digits per byte. */
export const randomHex = (bytes: number): Effect.Effect<string> =>
  Effect.map(
    Effect.replicateEffect(Random.nextIntBetween(0, 256), bytes),
    (values) => Encoding.encodeHex(Uint8Array.from(values))
  )
