/**
 * HTTP as Node does it, with `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` honoured, which Node's own `fetch` does not do.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Undici from "undici"

const dispatcher = Effect.acquireRelease(
  Effect.sync(() => new Undici.EnvHttpProxyAgent()),
  (agent) => Effect.promise(() => agent.destroy())
)

/**
 * A client whose sockets close with the scope.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
  Layer.provide(Layer.scoped(NodeHttpClient.Dispatcher, dispatcher))
)

/**
 * The same for what takes a `fetch`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fetch = Effect.map(
  dispatcher,
  (agent): typeof globalThis.fetch =>
    ((input: string, init?: Undici.RequestInit) => Undici.fetch(input, { ...init, dispatcher: agent })) as never
)
