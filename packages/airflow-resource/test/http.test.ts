import { HttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Http from "../src/Http.js"

/** A server on loopback that responds with its name, and refuses to be a proxy. */
const server = (name: string, tunnels: Array<string | undefined> = []) =>
  Effect.acquireRelease(
    Effect.async<http.Server>((resume) => {
      const server = http.createServer((_, response) => void response.end(name))
      server.on("connect", ({ url }, socket) => {
        tunnels.push(url)
        socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))

const withVariables = (variables: Record<string, string | undefined>) => {
  const set = (values: Record<string, string | undefined>) =>
    Effect.sync(() => {
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    })
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]))
  return Effect.acquireRelease(set(variables), () => set(before))
}

describe("Http", () => {
  it.scopedLive("uses the proxy of the environment, but never for loopback", () =>
    Effect.gen(function*() {
      const tunnels: Array<string | undefined> = []
      const [direct, proxy] = yield* Effect.all([server("direct"), server("proxy", tunnels)])
      const url = `http://127.0.0.1:${proxy}`
      yield* withVariables({
        http_proxy: url,
        HTTP_PROXY: url,
        https_proxy: url,
        HTTPS_PROXY: url,
        no_proxy: "example.org",
        NO_PROXY: "example.org"
      })
      const fetch = yield* Http.fetch
      const client = Context.get(yield* Layer.build(Http.layer), HttpClient.HttpClient)
      const texts = (url: string) =>
        Effect.all([
          Effect.promise(async () => (await fetch(url)).text()),
          Effect.flatMap(client.get(url), ({ text }) => text)
        ])
      for (const host of ["127.0.0.1", "localhost"]) {
        assert.deepStrictEqual(yield* texts(`http://${host}:${direct}/`), ["direct", "direct"], host)
      }
      assert.deepStrictEqual(tunnels, [])
      yield* Effect.flip(Effect.tryPromise(() => fetch("http://astro.example/")))
      yield* Effect.flip(client.get("https://astro.example/"))
      assert.deepStrictEqual(tunnels, ["astro.example:80", "astro.example:443"])
    }))
})
