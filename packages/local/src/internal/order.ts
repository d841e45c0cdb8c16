/** Gives an order to the supervisor of an awake deployment. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { once } from "node:events"
import * as http from "node:http"
import { text } from "node:stream/consumers"
import * as DeploymentFolder from "./DeploymentFolder.js"
import { ordersPath } from "./supervisor/Ingress.js"

/** `isRefused`: the supervisor has tried, and its words say why it did not work. Otherwise it did not respond. */
export class OrderFailed extends Schema.TaggedError<OrderFailed>("@airflow-resource/local/OrderFailed")(
  "OrderFailed",
  { detail: Schema.String, log: Schema.String, isRefused: Schema.Boolean }
) {}

/** Succeeds once the order is carried out. An interruption takes it back, as far as it can be. */
export const give = (folder: string, name: string, body: object = {}): Effect.Effect<void, OrderFailed> =>
  Effect.suspend(() => {
    const log = DeploymentFolder.logOf(folder)
    const state = Option.getOrUndefined(DeploymentFolder.state.read(folder))
    return Effect.tryPromise({
      try: async (signal) => {
        const request = http.request(`http://127.0.0.1:${state?.port ?? 1}${ordersPath}${name}`, {
          method: "POST",
          headers: { authorization: `Bearer ${state?.key}`, "content-type": "application/json" },
          signal
        })
        // `once` rejects with it
        request.on("error", () => {})
        request.end(JSON.stringify(body))
        // not `fetch`, which waits for five minutes at most
        const [response] = (await once(request, "response")) as [http.IncomingMessage]
        return {
          isOk: response.statusCode === 200,
          body: JSON.parse(await text(response)) as { readonly detail: string } | null
        }
      },
      catch: () => new OrderFailed({ detail: "its supervisor does not respond", log, isRefused: false })
    }).pipe(
      Effect.filterOrFail(
        ({ isOk }) => isOk,
        ({ body }) => new OrderFailed({ detail: body?.detail ?? "", log, isRefused: true })
      ),
      Effect.asVoid
    )
  })
