/** A reply on its way out: whole, growing, compressed, or broken off. */
import * as Effect from "effect/Effect"
import type { ServerResponse } from "node:http"
import { createGzip, gzipSync } from "node:zlib"
import type { Growing, Reply } from "./Http.js"

/** `breaks` it off in the middle of its body. */
export const send = (response: ServerResponse, reply: Reply, breaks = false): Effect.Effect<void> =>
  Effect.suspend(() => {
    const isCompressed = reply.gzip !== undefined && reply.body !== ""
    const headers = isCompressed
      ? { ...reply.headers, "content-encoding": "gzip", vary: "Accept-Encoding" }
      : reply.headers
    if (typeof reply.body !== "string") {
      response.writeHead(reply.status, headers)
      return grow(response, reply.body, reply.gzip, breaks)
    }
    const body = isCompressed ? gzipSync(reply.body) : Buffer.from(reply.body)
    response.writeHead(reply.status, { ...headers, "content-length": body.length })
    if (breaks) cutShort(response, body)
    else response.end(body)
    return Effect.void
  })

const grow = (
  response: ServerResponse,
  body: Growing,
  gzip: Reply["gzip"],
  breaks: boolean
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const zip = gzip === "streamed" ? createGzip() : undefined
    zip?.pipe(response)
    response.flushHeaders()
    let whole = ""
    for (;;) {
      const { isLast, text } = body.next(yield* Effect.clockWith((clock) => clock.currentTimeMillis))
      whole += text
      if (breaks && gzip === undefined) return cutShort(response, Buffer.from(text))
      if (zip !== undefined) {
        zip.write(text)
        zip.flush()
      } else if (gzip === undefined) {
        response.write(text)
      }
      if (isLast || response.destroyed) break
      yield* Effect.sleep(body.everyMillis)
    }
    if (gzip === "whole") {
      const bytes = gzipSync(whole)
      if (breaks) cutShort(response, bytes)
      else response.end(bytes)
    } else (zip ?? response).end()
  })

/** Half of this is sent, then the connection breaks. */
export const cutShort = (response: ServerResponse, body: Buffer): void => {
  const half = body.subarray(0, Math.ceil(body.length / 2))
  response.write(half, () => response.destroy())
}
