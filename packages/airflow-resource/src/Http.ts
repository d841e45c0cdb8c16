/**
 * Node's HTTP. Unlike Node's own `fetch`, it honours `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Requests to this machine's loopback
 * never go through a proxy.
 *
 * @since 0.1.0
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Undici from "undici"

const dispatcher = Effect.acquireRelease(
  Effect.sync(() => {
    const agents = [new Undici.EnvHttpProxyAgent(), new Undici.Agent()] as const
    const [proxied, direct] = agents
    return {
      agents,
      dispatcher: proxied.compose((dispatch) => (request, handler) =>
        isLoopback(request.origin) ? direct.dispatch(request, handler) : dispatch(request, handler)
      )
    }
  }),
  ({ agents }) => Effect.promise(() => Promise.all(agents.map((agent) => agent.destroy())))
).pipe(Effect.map(({ dispatcher }) => dispatcher))

/**
 * An HTTP client. Its sockets close with the layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
  Layer.provide(Layer.scoped(NodeHttpClient.Dispatcher, dispatcher))
)

/**
 * The same as a `fetch`, for libraries that take one. Its sockets close with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fetch = Effect.map(
  dispatcher,
  (agent): typeof globalThis.fetch =>
    ((input: string, init?: Undici.RequestInit) => Undici.fetch(input, { ...init, dispatcher: agent })) as never
)

// internal

/** A proxy's loopback is another machine's. */
const isLoopback = (origin: string | URL | undefined): boolean =>
  origin !== undefined && /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(new URL(origin).hostname)
