/** A proxy in front of the emulator that records requests and responses. */
import { Effect } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as tar from "tar"

export interface Exchange {
  readonly method: string
  /** With the query. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The response. `null` if the connection broke before it. */
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  } | null
}

/** Changes every text of an exchange by `f`, in the order in which they were sent. */
export const map = ({ answer, body, headers, method, target }: Exchange, f: (text: string) => string): Exchange => {
  const all = (record: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(record).map(([name, text]) => [name, f(text)]))
  return {
    method,
    target: f(target),
    headers: all(headers),
    body: f(body),
    answer: answer === null ? null : { ...answer, headers: all(answer.headers), body: f(answer.body) }
  }
}

export const make = (upstream: string) =>
  Effect.gen(function*() {
    const exchanges: Array<Exchange> = []
    const server = http.createServer(async (request, response) => {
      const { headers, method = "", url: target = "" } = request
      const body = await bytes(request)
      const exchange: Exchange = {
        method,
        target,
        headers: pick(headers, requestHeaders),
        body: textOf(body),
        answer: null
      }
      exchanges.push(exchange)
      const forwarded = http.request(`${upstream}${target}`, { method, headers, agent: false }, async (received) => {
        const ours = (text: string) => text.replaceAll(upstream, url).replaceAll(host(upstream), host(url))
        const whole = await bytes(received)
        const text = ours(whole.toString())
        const { statusCode: status = 0 } = received
        exchange.answer = { status, headers: pick(received.headers, responseHeaders), body: text }
        const { connection: _, "content-length": length, "keep-alive": __, ...rest } = received.headers
        // a truncated response stays truncated
        const { complete } = received
        response.writeHead(status, { ...rest, "content-length": complete ? Buffer.byteLength(text) : Number(length) })
        if (complete) response.end(text)
        else response.write(text, () => response.destroy())
      })
      forwarded.on("error", () => request.socket.destroy())
      forwarded.end(body)
    })
    // fixed, because it is part of the head of every response
    server.keepAliveTimeout = 5000
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () =>
        Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
    )
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return { url, taken: () => exchanges.splice(0) }
  })

const requestHeaders = [
  "authorization",
  "accept",
  "content-type",
  "x-api-version",
  "x-astro-client-identifier",
  "x-ms-blob-type"
]
const responseHeaders = ["content-type", "retry-after", "x-ms-version-id"]

const pick = (headers: http.IncomingHttpHeaders, names: ReadonlyArray<string>) =>
  Object.fromEntries(names.flatMap((name) => headers[name] === undefined ? [] : [[name, String(headers[name])]]))

const host = (url: string) => new URL(url).host

/** Everything that was received, even if the end is missing. */
const bytes = async (message: http.IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  try {
    for await (const chunk of message) chunks.push(chunk)
  } catch {
    // truncated
  }
  return Buffer.concat(chunks)
}

/** For a bundle the names in it, because its bytes differ each time. */
const textOf = (body: Buffer): string => {
  if (!body.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]))) return body.toString()
  const names: Array<string> = []
  const list = tar.list({ sync: true, onReadEntry: ({ path }) => void names.push(path) })
  list.end(body)
  return `a tar.gz of ${names.sort().join(", ") || "nothing"}`
}
