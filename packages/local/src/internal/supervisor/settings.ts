/** Brings the connections, variables and pools of a project into a running Airflow, through its API. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { AirflowSettings } from "../../AirflowSettings.js"
import type { Running } from "./Parts.js"

/** Airflow has refused one of them. */
export class SettingsRefused extends Data.TaggedError("SettingsRefused")<{ readonly message: string }> {}

/** Replaces those that were applied before. */
export const apply = (airflow: Running, before: AirflowSettings, after: AirflowSettings) =>
  Effect.gen(function*() {
    const call = callOf(airflow)
    const replace = <A>(
      collection: string,
      nameOf: (item: A) => string,
      bodyOf: (item: A) => object,
      [old, now]: readonly [ReadonlyArray<A>, ReadonlyArray<A>]
    ) =>
      Effect.gen(function*() {
        const names = new Set([...old, ...now].map(nameOf))
        yield* Effect.forEach(names, (name) => call("DELETE", collection, name), { discard: true })
        yield* Effect.forEach(now, (item) => call("POST", collection, nameOf(item), bodyOf(item)), { discard: true })
      })
    yield* replace("variables", ({ key }) => key, (variable) => variable, [before.variables, after.variables])
    yield* replace("connections", ({ id }) => id, ({ id, port, type, ...rest }) => ({
      connection_id: id,
      conn_type: type,
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== "")),
      ...(port === null ? {} : { port })
    }), [before.connections, after.connections])
    yield* replace("pools", ({ name }) => name, (pool) => pool, [before.pools, after.pools])
  })

// internal

const callOf =
  ({ authorization, recipe, url }: Running) =>
  (method: "POST" | "DELETE", collection: string, name: string, body?: object) =>
    Effect.tryPromise({
      try: async (signal) => {
        const path = method === "DELETE" ? `${collection}/${encodeURIComponent(name)}` : collection
        const response = await fetch(`${url}${recipe.api}/${path}`, {
          method,
          headers: { authorization, ...(body === undefined ? {} : { "content-type": "application/json" }) },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal
        })
        if (!response.ok && !(method === "DELETE" && response.status === 404)) {
          throw new Error(`${response.status} ${(await response.text()).slice(0, 500)}`)
        }
      },
      catch: (cause) =>
        new SettingsRefused({
          message: `Airflow refused ${collection} ${name} of airflow_settings.yaml: ${
            cause instanceof Error ? cause.message : String(cause)
          }`
        })
    })
