import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, type Scope } from "effect"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as DeploymentFolder from "../../src/internal/DeploymentFolder.js"
import * as Ingress from "../../src/internal/supervisor/Ingress.js"

const folder = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingress-"))
    fs.mkdirSync(path.join(folder, "tokens"))
    return folder
  }),
  (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
)

const mint = (folder: string) => {
  const [id, secret] = [randomBytes(8).toString("hex"), randomBytes(32).toString("hex")]
  DeploymentFolder.token(id).write(folder, {
    id,
    name: "of a test",
    createdAt: 0,
    hash: createHash("sha256").update(secret).digest("hex"),
    owner: { bootId: "", pid: 0, startedAt: "" }
  })
  return { id, headers: { authorization: `Bearer ${id}.${secret}` } }
}

/** An Airflow that does what the test wants. */
const upstream = (listener: http.RequestListener) =>
  Effect.acquireRelease(
    Effect.async<http.Server>((resume) => {
      const server = http.createServer(listener).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const until = (what: string, condition: () => boolean) =>
  Effect.suspend(() => condition() ? Effect.void : Effect.fail(`not yet: ${what}`)).pipe(
    Effect.retry(Schedule.upTo(Schedule.spaced("5 millis"), "1 minute"))
  )

describe("the ingress", () => {
  const test = (title: string, body: Effect.Effect<void, unknown, Scope.Scope>) => it.scopedLive(title, () => body)

  let orders = 0
  const make = (listener: http.RequestListener) =>
    Effect.gen(function*() {
      const home = yield* folder
      const url = yield* upstream(listener)
      const target = { url, authorization: "Bearer of Airflow" }
      const port = yield* Ingress.make({
        folder: home,
        key: "of the supervisor",
        target: () => target,
        orders: { count: () => Effect.sync(() => ++orders) },
        onRequest: () => {}
      })
      return { home, token: mint(home), url: `http://127.0.0.1:${port}/api` }
    })

  test(
    "lets in what has a live token and names its own host, without cookies, and orders with its key",
    Effect.gen(function*() {
      const seen: Array<http.IncomingHttpHeaders> = []
      const { home, token, url } = yield* make((request, response) => {
        seen.push(request.headers)
        response.writeHead(200, { "set-cookie": "session=1" }).end()
      })
      const other = mint(home)
      const send = (path: string, headers: http.OutgoingHttpHeaders, method = "GET") =>
        Effect.promise(async () => {
          const request = http.request(new URL(path, url), { method, agent: false, headers })
          request.end()
          const [response] = (await once(request, "response")) as [http.IncomingMessage]
          response.resume()
          return [response.statusCode, response.headers["set-cookie"]] as const
        })
      const { authorization } = token.headers
      const [id = "", secret = ""] = authorization.slice("Bearer ".length).split(".")
      const refused: ReadonlyArray<readonly [status: number, headers: http.OutgoingHttpHeaders]> = [
        [401, {}],
        [401, { authorization: `Bearer ${id}.${"0".repeat(secret.length)}` }],
        [401, { authorization: `Bearer ${other.id}.${secret}` }],
        [401, { authorization: `Bearer ../tokens/${id}.${secret}` }],
        [401, { authorization: "Bearer of Airflow" }],
        [401, { authorization: "Bearer of the supervisor" }],
        [403, { authorization, host: "evil.example" }],
        [403, { authorization, host: "evil.example:80" }]
      ]
      for (const [status, headers] of refused) {
        assert.strictEqual((yield* send("/api", headers))[0], status, JSON.stringify(headers))
      }
      assert.deepStrictEqual(seen, [])
      assert.deepStrictEqual(yield* send("/api", { authorization, cookie: "session=1" }), [200, undefined])
      assert.deepStrictEqual(seen.map(({ authorization, cookie }) => [authorization, cookie]), [
        ["Bearer of Airflow", undefined]
      ])
      DeploymentFolder.token(token.id).remove(home)
      assert.strictEqual((yield* send("/api", { authorization }))[0], 401)

      const order = `${Ingress.ordersPath}count`
      for (const authorization of ["", other.headers.authorization, "Bearer x"]) {
        assert.strictEqual((yield* send(order, { authorization }, "POST"))[0], 401)
      }
      assert.strictEqual(orders, 0)
    })
  )

  test(
    "passes on each part of a body and of a response before the next one exists",
    Effect.gen(function*() {
      const seen = { request: "", response: "", authorization: undefined as string | undefined }
      let answer: http.ServerResponse | undefined
      const { token, url } = yield* make((request, response) => {
        seen.authorization = request.headers.authorization
        request.on("data", (chunk) => seen.request += chunk)
        request.on("end", () => {
          answer = response
          response.write("c")
        })
      })
      const sent = http.request(url, { method: "POST", agent: false, headers: token.headers })
      sent.on("response", (response) => response.on("data", (chunk) => seen.response += chunk))
      sent.write("a")
      yield* until("the first part of the body", () => seen.request === "a")
      sent.end("b")
      yield* until("the first part of the response", () => seen.response === "c")
      assert.deepStrictEqual(seen, { request: "ab", response: "c", authorization: "Bearer of Airflow" })
      answer?.end("d")
      yield* until("the second part of the response", () => seen.response === "cd")
    })
  )

  test(
    "reads no more of a body than Airflow takes, and no more of a response than its client takes",
    Effect.gen(function*() {
      const chunk = Buffer.alloc(1024 * 1024)
      const most = 200
      let written = 0
      /** Writes until the other side does not take any more. */
      const fill = (stream: http.ClientRequest | http.ServerResponse) => {
        while (written < most) {
          written++
          if (!stream.write(chunk)) return void stream.once("drain", () => fill(stream))
        }
      }
      const isStalled = Effect.gen(function*() {
        let before = -1
        // the buffers of the system take some megabytes
        yield* Effect.repeat(Effect.sync(() => [before, before = written]), {
          schedule: Schedule.spaced("200 millis"),
          until: ([earlier]) => earlier === written && written > 0
        })
        assert.isBelow(written, most)
      })
      const { token, url } = yield* make((request, response) => {
        if (request.method === "GET") fill(response)
      })
      const upload = http.request(url, { method: "POST", agent: false, headers: token.headers }).on("error", () => {})
      fill(upload)
      yield* isStalled
      upload.destroy()

      written = 0
      const download = http.get(url, { agent: false, headers: token.headers }).on("error", () => {})
      download.on("response", (response) => response.pause())
      yield* isStalled
      download.destroy()
    })
  )

  test(
    "cuts the responses of a token that is deleted, and no others",
    Effect.gen(function*() {
      const { home, token, url } = yield* make((_request, response) => void response.write("begun"))
      const get = (headers: http.OutgoingHttpHeaders) => {
        const got = { text: "", end: "none" as "none" | "complete" | "cut" }
        http.get(url, { agent: false, headers }).on("error", () => {}).on("response", (response) => {
          response.on("data", (chunk) => got.text += chunk)
          response.on("error", () => {})
          response.on("close", () => got.end = response.complete ? "complete" : "cut")
        })
        return got
      }
      const [own, other] = [get(token.headers), get(mint(home).headers)]
      yield* until("both have begun", () => own.text + other.text === "begunbegun")
      DeploymentFolder.token(token.id).remove(home)
      yield* until("the end", () => own.end !== "none")
      assert.deepStrictEqual([own.end, other.end], ["cut", "none"])
    })
  )
})
