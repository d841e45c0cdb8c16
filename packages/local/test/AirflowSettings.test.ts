import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { AirflowSettings } from "../src/index.js"

const read = (text: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const root = yield* fs.makeTempDirectoryScoped()
    yield* fs.writeFileString(`${root}/airflow_settings.yaml`, text)
    return yield* AirflowSettings.read(root)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

describe("airflow_settings.yaml", () => {
  it.effect("is read as Astro reads it: numbers are text, an object is JSON, and entries without a name are left out", () =>
    Effect.gen(function*() {
      const settings = yield* read(`
airflow:
  connections:
    - conn_id: warehouse
      conn_type: postgres
      conn_host: localhost
      conn_port: "5432"
      conn_extra: { sslmode: require }
    - conn_id:
      conn_type:
  pools:
    - pool_name: etl
      pool_slot: 3
      pool_description:
    - pool_name:
  variables:
    - variable_name: limit
      variable_value: 10
    - variable_name: places
      variable_value: [eu, us]
    - variable_name:
      variable_value:
`)
      assert.deepStrictEqual(settings, {
        connections: [{
          id: "warehouse",
          type: "postgres",
          host: "localhost",
          schema: "",
          login: "",
          password: "",
          port: 5432,
          extra: `{"sslmode":"require"}`
        }],
        pools: [{ name: "etl", slots: 3, description: "" }],
        variables: [{ key: "limit", value: "10" }, { key: "places", value: `["eu","us"]` }]
      })
    }))

  for (const text of ["", "airflow:", "airflow:\n  connections:\n  pools:\n  variables:", "# nothing"]) {
    it.effect(`has nothing: ${JSON.stringify(text)}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* read(text), AirflowSettings.none)
      }))
  }

  const wrong: ReadonlyArray<readonly [text: string, detail: RegExp]> = [
    ["airflow: [", /not YAML/],
    ["airflow: 1", /airflow \(line 1\) has the wrong form/],
    ["- secret", /the document \(line 1\) has the wrong form/],
    ["airflow: { variables: { variable_name: secret } }", /airflow\.variables \(line 1\) has the wrong form/],
    [
      "airflow:\n  pools:\n    - pool_name: a\n      pool_slot: [secret]\n",
      /^[^]*: airflow\.pools\.0\.pool_slot \(line 4\) has the wrong form\. Correct/
    ],
    [
      "airflow: { connections: [{ conn_id: a, conn_port: secret, conn_type: http }] }",
      /port of a must be a whole number/
    ],
    ["airflow: { connections: [{ conn_id: a }] }", /the connection a has neither conn_type nor conn_uri/],
    ["airflow: { connections: [{ conn_id: a, conn_uri: secret }] }", /the conn_uri of a is not a URI/],
    ["airflow: { connections: [{ conn_id: a, conn_uri: 'x://secret%' }] }", /the conn_uri of a is not a URI/],
    [
      "airflow: { connections: [{ conn_id: a, conn_uri: 'x://secret', conn_host: secret }] }",
      /the connection a has conn_uri and other fields/
    ],
    ["airflow: { pools: [{ pool_name: a }] }", /slots of a must be a whole number/]
  ]
  for (const [text, detail] of wrong) {
    it.effect(`is refused, without its values: ${text}`, () =>
      Effect.gen(function*() {
        const { message } = yield* Effect.flip(read(text))
        assert.match(message, detail)
        assert.match(message, /airflow_settings\.yaml .*Correct it, or remove it\.$/)
        assert.notInclude(message, "secret")
      }))
  }

  const uris: Readonly<Record<string, object>> = {
    "postgresql://me:p%40ss@DB.example:5432/sales%2Feu?sslmode=require&x=": {
      type: "postgres",
      host: "db.example",
      schema: "sales/eu",
      login: "me",
      password: "p@ss",
      port: 5432,
      extra: `{"sslmode":"require","x":""}`
    },
    "google-cloud-platform://?__extra__=%7B%22a%22%3A+%7B%22b%22%3A+1%7D%7D": {
      type: "google_cloud_platform",
      extra: `{"a": {"b": 1}}`
    },
    "http://https://example.com": { type: "http", host: "https://example.com" },
    "redis://:p@ss@[::1]:6379/0": { type: "redis", host: "::1", schema: "0", password: "p@ss", port: 6379 }
  }
  for (const [uri, fields] of Object.entries(uris)) {
    it.effect(`may have a connection as a URI, as Airflow reads it: ${uri}`, () =>
      Effect.gen(function*() {
        const { connections } = yield* read(`airflow: { connections: [{ conn_id: a, conn_uri: "${uri}" }] }`)
        const none = { id: "a", host: "", schema: "", login: "", password: "", port: null, extra: "" }
        assert.deepStrictEqual(connections, [{ ...none, ...fields }] as never)
      }))
  }

  it.effect("may have keys that are not known: a warning names them", () =>
    Effect.gen(function*() {
      const messages: Array<unknown> = []
      const logger = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => messages.push(message)))
      const { pools } = yield* read(
        "other: 1\nairflow:\n  pools:\n    - pool_name: a\n      pool_slot: 1\n      pool_slots: secret\n"
      ).pipe(Effect.provide(logger))
      assert.lengthOf(pools, 1)
      assert.lengthOf(messages, 1)
      assert.match(
        String(messages[0]),
        /airflow_settings\.yaml has keys that are not known, and are ignored: other \(line 1\), airflow\.pools\.0\.pool_slots \(line 6\)\.$/
      )
    }))

  it.effect("need not exist", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* AirflowSettings.read("/nowhere"), AirflowSettings.none)
    }).pipe(Effect.provide(NodeContext.layer)))
})
