// For vitest 3 in this repository. A project with another version has its own: project.ts.
import { defineConfig } from "vitest/config"

const conditions = ["@airflow-resource/source"]

const reporters = process.env["AIRFLOW_RESOURCE_TEST_REPORTERS"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  // only a safety net: on a busy machine everything takes longer
  test: {
    root: `${import.meta.dirname}/fixtures`,
    include: ["*.fixture.ts"],
    testTimeout: 60_000,
    ...(reporters === undefined ? {} : { reporters: JSON.parse(reporters) })
  }
})
