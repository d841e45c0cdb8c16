/** Stands before the emulator, and remembers what was asked and what it answered. */
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
  /** `null`: the connection broke before there was one. */
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body: string
  } | null
}

/** Every text of it changed by `f`, in the order in which they came. */
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
      const exchange: Exchange = { method, target, headers: pick(headers, asked), body: textOf(body), answer: null }
      exchanges.push(exchange)
      const forwarded = http.request(`${upstream}${target}`, { method, headers, agent: false }, async (answered) => {
        const ours = (text: string) => text.replaceAll(upstream, url).replaceAll(host(upstream), host(url))
        const whole = await bytes(answered)
        const text = ours(whole.toString())
        const { statusCode: status = 0 } = answered
        exchange.answer = { status, headers: pick(answered.headers, told), body: text }
        const { connection: _, "content-length": length, "keep-alive": __, ...rest } = answered.headers
        // what was cut stays cut
        const { complete } = answered
        response.writeHead(status, { ...rest, "content-length": complete ? Buffer.byteLength(text) : Number(length) })
        if (complete) response.end(text)
        else response.write(text, () => response.destroy())
      })
      forwarded.on("error", () => request.socket.destroy())
      forwarded.end(body)
    })
    // the answer's head tells it
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

const asked = [
  "authorization",
  "accept",
  "content-type",
  "x-api-version",
  "x-astro-client-identifier",
  "x-ms-blob-type"
]
const told = ["content-type", "retry-after", "x-ms-version-id"]

const pick = (headers: http.IncomingHttpHeaders, names: ReadonlyArray<string>) =>
  Object.fromEntries(names.flatMap((name) => headers[name] === undefined ? [] : [[name, String(headers[name])]]))

const host = (url: string) => new URL(url).host

/** All that came, also where the end did not. */
const bytes = async (message: http.IncomingMessage): Promise<Buffer> => {
  const chunks: Array<Buffer> = []
  try {
    for await (const chunk of message) chunks.push(chunk)
  } catch {
    // it was cut
  }
  return Buffer.concat(chunks)
}

/** A bundle by the names in it: it is packed differently each time. */
const textOf = (body: Buffer): string => {
  if (!body.subarray(0, 2).equals(Buffer.from([0x1f, 0x8b]))) return body.toString()
  const names: Array<string> = []
  const list = tar.list({ sync: true, onReadEntry: ({ path }) => void names.push(path) })
  list.end(body)
  return `a tar.gz of ${names.sort().join(", ") || "nothing"}`
}
