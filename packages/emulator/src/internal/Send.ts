/** Sends responses: whole, streaming, compressed, or cut off in the middle. */
import * as Effect from "effect/Effect"
import type { ServerResponse } from "node:http"
import { createGzip, gzipSync } from "node:zlib"
import type { Response, StreamingBody } from "./Http.js"

/** With `isCut` the connection breaks in the middle of the body. */
export const send = (target: ServerResponse, response: Response, isCut = false): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isCompressed = response.gzip !== undefined && response.body !== ""
    const headers = isCompressed
      ? { ...response.headers, "content-encoding": "gzip", vary: "Accept-Encoding" }
      : response.headers
    if (typeof response.body !== "string") {
      target.writeHead(response.status, headers)
      return stream(target, response.body, response.gzip, isCut)
    }
    const body = isCompressed ? gzipSync(response.body) : Buffer.from(response.body)
    target.writeHead(response.status, { ...headers, "content-length": body.length })
    if (isCut) sendHalf(target, body)
    else target.end(body)
    return Effect.void
  })

const stream = (
  target: ServerResponse,
  body: StreamingBody,
  gzip: Response["gzip"],
  isCut: boolean
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const zip = gzip === "streamed" ? createGzip() : undefined
    zip?.pipe(target)
    target.flushHeaders()
    let whole = ""
    for (;;) {
      const { isLast, text } = body.next(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
      whole += text
      if (isCut && gzip === undefined) return sendHalf(target, Buffer.from(text))
      if (zip !== undefined) {
        zip.write(text)
        zip.flush()
      } else if (gzip === undefined) {
        target.write(text)
      }
      if (isLast || target.destroyed) break
      yield* Effect.sleep(body.intervalMillis)
    }
    if (gzip === "whole") {
      const bytes = gzipSync(whole)
      if (isCut) sendHalf(target, bytes)
      else target.end(bytes)
    } else (zip ?? target).end()
  })

/** Sends the first half, then breaks the connection. */
export const sendHalf = (target: ServerResponse, body: Buffer): void => {
  const half = body.subarray(0, Math.ceil(body.length / 2))
  target.write(half, () => target.destroy())
}
