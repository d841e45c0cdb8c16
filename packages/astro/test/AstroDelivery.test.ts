import { HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tar from "tar"
import * as Deploy from "../src/internal/deploy.js"
import { suite, suiteApi } from "./delivery.suite.js"
import * as StandIn from "./StandIn.js"

suite("AstroDelivery through a stand-in for the astro CLI", Effect.map(StandIn.make(), ({ bin }) => bin))
suiteApi("AstroDelivery through Astro's API")

describe("a bundle of DAGs", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "astro-dags-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )

  /** Deploys `dags`. The storage responds with `status`; the uploads that it receives are kept. `finalized` is Astro's last response. */
  const deploy = (dags: string, status = 201, finalized = `{"id": "deploy"}`) => {
    const uploads: Array<{ readonly headers: Record<string, string>; readonly body: Uint8Array }> = []
    const http = HttpClient.make((request, { host, pathname }) => {
      const respond = (status: number, body: unknown, headers: Record<string, string> = {}) =>
        Effect.succeed(HttpClientResponse.fromWeb(request, new Response(JSON.stringify(body), { status, headers })))
      if (host === "astro.invalid") {
        return pathname.endsWith("/finalize")
          ? Effect.succeed(HttpClientResponse.fromWeb(request, new Response(finalized)))
          : respond(200, { id: "deploy", dagsUploadUrl: "https://storage.invalid/b?sig=secret" })
      }
      assert(request.body._tag === "Uint8Array")
      uploads.push({ headers: request.headers, body: request.body.body })
      return respond(status, {}, { "x-ms-version-id": "v1" })
    })
    const account = { apiUrl: "https://astro.invalid", token: Redacted.make("token") }
    return Effect.map(
      Effect.either(Deploy.dags({ ...account, organizationId: "o", deploymentId: "d", dags })).pipe(
        Effect.provideService(HttpClient.HttpClient, http),
        Effect.provide(NodeContext.layer)
      ),
      (result) => ({ result, uploads })
    )
  }

  const names = (bundle: Uint8Array) => {
    const found: Array<string> = []
    const parser = new tar.Parser({ onReadEntry: (entry) => (found.push(entry.path), entry.resume()) })
    parser.end(Buffer.from(bundle))
    return found.filter((name) => !name.endsWith("/")).sort()
  }

  it.scopedLive("contains the folder as dags/, as the astro CLI packs it, and is uploaded without the token", () =>
    Effect.gen(function*() {
      const dags = yield* folder
      mkdirSync(join(dags, "shop"))
      for (const name of [".airflowignore", "one.py", "shop/two.py"]) writeFileSync(join(dags, name), name)
      const { result, uploads } = yield* deploy(dags)
      assert(result._tag === "Right")
      assert.strictEqual(result.right, "v1")
      assert.lengthOf(uploads, 1)
      const [upload] = uploads
      assert.strictEqual(upload?.headers["x-ms-blob-type"], "BlockBlob")
      assert.notProperty(upload?.headers, "authorization")
      assert.deepStrictEqual(names(upload?.body ?? new Uint8Array()), [
        "dags/.airflowignore",
        "dags/one.py",
        "dags/shop/two.py"
      ])
    }))

  it.scopedLive("is not deployed if the last response is not Astro's", () =>
    Effect.gen(function*() {
      const dags = yield* folder
      writeFileSync(join(dags, "one.py"), "")
      for (const finalized of ["<html></html>", "", "{}", `{"id": "another"}`]) {
        const { result } = yield* deploy(dags, 201, finalized)
        assert(result._tag === "Left", finalized)
        assert.match(result.left.remedy, /captive portal/, finalized)
      }
    }))

  it.scopedLive("is an error without the upload's URL if the storage refuses it", () =>
    Effect.gen(function*() {
      const dags = yield* folder
      writeFileSync(join(dags, "one.py"), "")
      const { result } = yield* deploy(dags, 403)
      assert(result._tag === "Left")
      assert.strictEqual(result.left.kind, "unreachable")
      assert.match(result.left.detail, /status 403/)
      assert.notInclude(JSON.stringify(result.left), "secret")
    }))
})
