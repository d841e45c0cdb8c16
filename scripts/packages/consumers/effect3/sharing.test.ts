import { AirflowError } from "@airflow-resource/airflow"
import * as HttpClient from "@effect/platform/HttpClient"
import { assert, it } from "@effect/vitest"
import * as composition from "airflow-resource"
import * as Context from "effect/Context"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { pathToFileURL } from "node:url"

/** The module that our package at `from` gets when it imports `name/module`. */
const importedBy = (from: string, name: string, module: string) => {
  const ours = createRequire(import.meta.url).resolve(`${from}/package.json`)
  const manifest = createRequire(ours).resolve(`${name}/package.json`)
  return import(pathToFileURL(join(dirname(manifest), `dist/esm/${module}.js`)).href)
}

for (const from of ["airflow-resource", "@airflow-resource/airflow", "@airflow-resource/testing"]) {
  it(`${from} uses this project's copy of Effect`, async () => {
    assert.strictEqual((await importedBy(from, "@effect/platform", "HttpClient")).HttpClient, HttpClient.HttpClient)
    assert.strictEqual((await importedBy(from, "effect", "Context")).Tag, Context.Tag)
  })
}

it("our packages share one copy of each other", () => {
  assert.strictEqual(composition.AirflowError, AirflowError)
})
