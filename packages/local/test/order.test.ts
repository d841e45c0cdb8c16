import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import * as fs from "node:fs"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { Agent, getGlobalDispatcher, setGlobalDispatcher } from "undici"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as Order from "../src/internal/order.js"

it.scopedLive("an order may take as long as it likes, unlike a fetch", () =>
  Effect.gen(function*() {
    let respond = () => {}
    const server = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const server = http.createServer(({ url }, response) => {
          if (url !== "/") respond = () => response.writeHead(200).end("null")
        })
        await once(server.listen(0, "127.0.0.1"), "listening")
        return server
      }),
      (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
    )
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "order-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
    )
    const { port } = server.address() as AddressInfo
    DeploymentFolder.state.write(folder, {
      supervisor: { bootId: "boot", pid: 1, startedAt: "1" },
      requestedAt: 0,
      phase: "healthy",
      port,
      key: "key",
      uiUrl: "",
      processes: []
    })
    // instead of five minutes
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const before = getGlobalDispatcher()
        setGlobalDispatcher(new Agent({ headersTimeout: 1 }))
        return before
      }),
      (before) => Effect.sync(() => setGlobalDispatcher(before))
    )
    const url = `http://127.0.0.1:${port}`
    const [order] = yield* Effect.all([
      Effect.either(Order.give(folder, "deliver")),
      // when this has failed, the order would have failed as well
      Effect.flip(Effect.tryPromise(() => fetch(url))).pipe(Effect.zipRight(Effect.sync(() => respond())))
    ], { concurrency: "unbounded" })
    assert.strictEqual(order._tag, "Right")
  }))
