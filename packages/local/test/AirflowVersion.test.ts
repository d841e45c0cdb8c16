import { AirflowVersion } from "@airflow-resource/local"
import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import * as fs from "node:fs"

describe("AirflowVersion", () => {
  it("tests the versions that have pins, oldest first", () => {
    const pins = fs.readdirSync(new URL("../pins", import.meta.url))
    assert.sameMembers(pins, AirflowVersion.tested.map((version) => `airflow-${version}.txt`))
    assert.deepStrictEqual([...AirflowVersion.tested].sort(AirflowVersion.order), AirflowVersion.tested)
    assert.strictEqual(AirflowVersion.tested.at(-1), AirflowVersion.newest)
    assert.deepStrictEqual(["2.10.0", "2.9.3", "2.9.10"].sort(AirflowVersion.order), ["2.9.3", "2.9.10", "2.10.0"])
  })

  it("accepts versions from 2.10.0 on", () => {
    for (const version of [...AirflowVersion.tested, "2.10.0", "3.4.0", " 3.1.8\n"]) {
      assert.deepStrictEqual(AirflowVersion.parse(version), Either.right(version.trim()))
    }
    for (const version of ["2.9.3", "1.10.15", "4.0.0", "3.3", "3.3.2rc1", "latest", "", "3.3.2 --pre"]) {
      const error = Either.getOrThrow(Either.flip(AirflowVersion.parse(version)))
      assert.strictEqual(error.kind, "unknownRuntime")
      assert.include(error.message, "Set AIRFLOW_RESOURCE_AIRFLOW_VERSION to a version such as 3.3.2")
    }
    assert.deepStrictEqual(["2.10.5", "2.11.2", "3.0.0"].map(AirflowVersion.major), [2, 2, 3])
  })

  it("knows which Pythons an Airflow runs on", () => {
    const on313 = AirflowVersion.tested.filter((version) => AirflowVersion.pythonsOf(version).includes("3.13"))
    assert.deepStrictEqual(on313, ["3.1.8", "3.2.2", "3.3.2"])
    for (const version of AirflowVersion.tested) {
      assert.includeMembers([...AirflowVersion.pythonsOf(version)], ["3.10", "3.11", "3.12"])
      assert.strictEqual(AirflowVersion.pythonsOf(version)[0], "3.11", "the one with pins")
    }
  })

  it("knows the Airflow of an Astro runtime", () => {
    const known = {
      "12.0.0": "2.10.5",
      "12.11.1": "2.10.5",
      "13.0.0": "2.11.0",
      "13.11.0": "2.11.2",
      "3.0-1": "3.0.0",
      "3.0-3": "3.0.1",
      "3.0-9": "3.0.5",
      "3.0-18": "3.0.6",
      "3.1-7": "3.1.8",
      "3.2-4": "3.2.1",
      "3.2-10": "3.2.2",
      "3.3-1": "3.3.0",
      "3.3-7": "3.3.1",
      "3.3-8": "3.3.2",
      "3.3-90": "3.3.2"
    }
    for (const [runtime, version] of Object.entries(known)) {
      assert.deepStrictEqual(AirflowVersion.ofRuntime(runtime), Either.right(version), runtime)
    }
  })

  it("refuses a runtime whose Airflow is too old or unknown, and says what to set", () => {
    const refused = {
      "11.3.0": "Use the runtime 12.0.0 or newer",
      "4.0.0": "Use the runtime 12.0.0 or newer",
      "14.0.0": "AIRFLOW_RESOURCE_AIRFLOW_VERSION",
      "3.9-1": "AIRFLOW_RESOURCE_AIRFLOW_VERSION",
      "3.0-1-base": "AIRFLOW_RESOURCE_AIRFLOW_VERSION",
      latest: "AIRFLOW_RESOURCE_AIRFLOW_VERSION",
      constructor: "AIRFLOW_RESOURCE_AIRFLOW_VERSION"
    }
    for (const [runtime, remedy] of Object.entries(refused)) {
      const error = Either.getOrThrow(Either.flip(AirflowVersion.ofRuntime(runtime)))
      assert.strictEqual(error.kind, "unknownRuntime")
      assert.include(error.message, remedy, runtime)
    }
  })
})

describe("ofDockerfile", () => {
  const read = (...lines: ReadonlyArray<string>) => AirflowVersion.ofDockerfile(lines.join("\n"))

  it("reads the runtime and the Python of the image", () => {
    const images: Record<string, [runtime: string | undefined, python: string | undefined]> = {
      "quay.io/astronomer/astro-runtime:12.6.0": ["12.6.0", undefined],
      "quay.io/astronomer/astro-runtime:12.6.0-python-3.11-base": ["12.6.0", "3.11"],
      "astrocrpublic.azurecr.io/runtime:3.1-4": ["3.1-4", undefined],
      "astrocrpublic.azurecr.io/runtime:3.1-4-base": ["3.1-4", undefined],
      "astrocrpublic.azurecr.io/runtime:3.1-4-python-3.12": ["3.1-4", "3.12"],
      "registry.example.com:5000/mirror/astro-runtime:13.1.0@sha256:0123": ["13.1.0", undefined],
      "--platform=linux/amd64 astrocrpublic.azurecr.io/runtime:3.2-10 AS final": ["3.2-10", undefined],
      "apache/airflow:3.1.8": [undefined, undefined],
      "example.com/my-runtime:3.1-4": [undefined, undefined],
      "astrocrpublic.azurecr.io/runtime": [undefined, undefined],
      "astrocrpublic.azurecr.io/runtime:latest": [undefined, undefined]
    }
    for (const [image, [runtime, python]] of Object.entries(images)) {
      assert.deepStrictEqual(read(`FROM ${image}`), { runtime, python, steps: [] }, image)
    }
    assert.deepStrictEqual(read(""), { runtime: undefined, python: undefined, steps: [] })
  })

  it("takes the last stage, with those that it is built from", () => {
    const { runtime, steps } = read(
      "# syntax=docker/dockerfile:1",
      "FROM quay.io/astronomer/astro-runtime:12.6.0 AS old",
      "RUN one",
      "FROM astrocrpublic.azurecr.io/runtime:3.1-4 AS base",
      "",
      "USER root",
      "FROM Base",
      "COPY --from=old /a /a",
      "FROM base",
      "ENV KEY=secret"
    )
    assert.strictEqual(runtime, "3.1-4")
    assert.deepStrictEqual(steps, [{ line: 6, instruction: "USER" }, { line: 10, instruction: "ENV" }])
  })

  it("fills in arguments", () => {
    assert.strictEqual(read("ARG V=3.1-4", "FROM astrocrpublic.azurecr.io/runtime:${V}").runtime, "3.1-4")
    assert.strictEqual(read(`arg V="3.1-4"`, "from astrocrpublic.azurecr.io/runtime:$V-base").runtime, "3.1-4")
    assert.strictEqual(read("ARG V", "FROM astrocrpublic.azurecr.io/runtime:${V:-3.1-4}").runtime, "3.1-4")
    assert.isUndefined(read("FROM astrocrpublic.azurecr.io/runtime:${V}").runtime)
  })

  it("names the steps, not what is in comments, continued lines and heredocs", () => {
    const { steps } = read(
      "FROM astrocrpublic.azurecr.io/runtime:3.1-4",
      "ARG BUILD",
      "LABEL a=b",
      "# COPY x y",
      "RUN apt-get update && \\",
      "  # COPY x y",
      "  COPY x y",
      "RUN <<EOF",
      "FROM astrocrpublic.azurecr.io/runtime:3.0-1",
      "EOF",
      "copy a b\r"
    )
    assert.deepStrictEqual(steps, [
      { line: 5, instruction: "RUN" },
      { line: 8, instruction: "RUN" },
      { line: 11, instruction: "COPY" }
    ])
  })
})
