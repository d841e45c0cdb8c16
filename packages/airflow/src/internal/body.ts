/**
 * Bodies of responses, up to a limit. The limit applies to decompressed bytes.
 */
import type { HttpClientError } from "@effect/platform/HttpClientError"
import type { HttpClientResponse } from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/**
 * The body as text. Of a body longer than the limit, only the beginning or the end is kept, or it is not read to its end
 * and `isTooLong`.
 */
export const read = (
  { stream }: HttpClientResponse,
  maxBytes: number,
  longer: "error" | "beginning" | "end"
): Effect.Effect<{ readonly text: string; readonly isTooLong: boolean }, HttpClientError> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  const isLonger = () => size > maxBytes
  const keep = (chunk: Uint8Array) => {
    chunks.push(chunk)
    size += chunk.length
    if (longer === "end") {
      while (size - chunks[0]!.length >= maxBytes) size -= chunks.shift()!.length
    }
  }
  return stream.pipe(
    Stream.runForEachWhile((chunk) =>
      Effect.sync(() => {
        keep(chunk)
        return longer === "end" || !isLonger()
      })
    ),
    Effect.catchIf(isEmptyBody, () => Effect.void),
    Effect.map(() => {
      if (longer === "error" && isLonger()) return { text: "", isTooLong: true }
      const bytes = new Uint8Array(size)
      let offset = 0
      for (const chunk of chunks) {
        bytes.set(chunk, offset)
        offset += chunk.length
      }
      const kept = longer === "end" ? bytes.subarray(-maxBytes) : bytes.subarray(0, maxBytes)
      return { text: new TextDecoder().decode(kept), isTooLong: false }
    })
  )
}

/** The stream, which ends at the limit. */
export const limited = <E>(stream: Stream.Stream<Uint8Array, E>, maxBytes: number): Stream.Stream<Uint8Array, E> =>
  Stream.suspend(() => {
    let size = 0
    return Stream.takeWhile(stream, (chunk) => (size += chunk.length) <= maxBytes)
  })

// internal

const isEmptyBody = (error: HttpClientError) => error._tag === "ResponseError" && error.reason === "EmptyBody"
