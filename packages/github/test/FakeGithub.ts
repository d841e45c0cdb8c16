import { Effect } from "effect"
import sodium from "libsodium-wrappers"

interface Call {
  readonly route: string
  readonly headers: Headers
}

/** Responds to one request. */
export type Responder = () => Response | Promise<Response>

export const json = (status: number, body: unknown, headers: Record<string, string> = {}): Responder => () =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } })

export const html = (status: number): Responder => () =>
  new Response("<html><body>Unicorn! bad gateway</body></html>", { status, headers: { "content-type": "text/html" } })

/** What Node's fetch throws if no server listens. */
export const refused: Responder = () =>
  Promise.reject(
    new TypeError("fetch failed", { cause: Object.assign(new Error("connect"), { code: "ECONNREFUSED" }) })
  )

/**
 * A repository that decrypts the secrets that are written to it. A request to an unstubbed route fails the test when the scope closes:
 * if `fetch` failed at once, a client might turn that into an error that the test expects.
 */
export const make = Effect.gen(function*() {
  yield* Effect.promise(() => sodium.ready)
  let keys = sodium.crypto_box_keypair()
  let version = 1
  const calls: Array<Call> = []
  const unstubbed: Array<string> = []
  const secrets = new Map<string, string>()
  const planned = new Map<string, Array<Responder>>()
  let inFlight = 0
  const { ORIGINAL } = sodium.base64_variants

  const put = (name: string, body: { encrypted_value: string; key_id: string }): Response => {
    if (body.key_id !== `key-${version}`) {
      return json(422, {
        message: "Bad request - validation failed due to an improperly encrypted secret"
      })() as Response
    }
    const opened = sodium.crypto_box_seal_open(
      sodium.from_base64(body.encrypted_value, ORIGINAL),
      keys.publicKey,
      keys.privateKey
    )
    const status = secrets.has(name) ? 204 : 201
    secrets.set(name, sodium.to_string(opened))
    return new Response(status === 201 ? "{}" : null, { status, headers: { "content-type": "application/json" } })
  }

  const serve = (route: string, body: unknown): Response | Promise<Response> => {
    const next = planned.get(route)?.shift()
    if (next !== undefined) return next()
    if (route === "GET /repos/My-Org/my-dags") {
      const facts = { full_name: "My-Org/my-dags", default_branch: "main", private: true, permissions: { push: true } }
      return json(200, facts)()
    }
    if (route === "GET /repos/My-Org/my-dags/actions/secrets/public-key") {
      return json(200, { key_id: `key-${version}`, key: sodium.to_base64(keys.publicKey, ORIGINAL) })()
    }
    const name = /^PUT \/repos\/My-Org\/my-dags\/actions\/secrets\/(\w+)$/.exec(route)?.[1]
    if (name !== undefined) return put(name, body as never)
    unstubbed.push(route)
    return json(501, { message: "unstubbed" })()
  }

  const counted = (send: typeof fetch): typeof fetch => async (url, init) => {
    inFlight++
    try {
      return await send(url, init)
    } finally {
      inFlight--
    }
  }

  yield* Effect.addFinalizer(() =>
    unstubbed.length === 0 ? Effect.void : Effect.die(new Error(`unstubbed: ${unstubbed.join(", ")}`))
  )

  return {
    calls,
    secrets,
    counted,
    idle: () => inFlight === 0,
    fetch: counted(async (input, init) => {
      const { pathname } = new URL(String(input))
      const route = `${init!.method} ${pathname}`
      calls.push({ route, headers: new Headers(init!.headers) })
      const aborted = new Promise<never>((_, reject) =>
        init!.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")))
      )
      return Promise.race([aborted, serve(route, init!.body ? JSON.parse(String(init!.body)) : undefined)])
    }),
    /** Sets the next responses of a route. After them it works as usual. */
    plan: (route: string, ...responses: ReadonlyArray<Responder>) => planned.set(route, [...responses]),
    rotateKey: () => {
      keys = sodium.crypto_box_keypair()
      version++
    },
    count: (route: string) => calls.filter((call) => call.route === route).length
  }
})

export type FakeGithub = Effect.Effect.Success<typeof make>

export const hanging: Responder = () => new Promise(() => {})
