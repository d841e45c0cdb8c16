import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "reaper",
    root: import.meta.dirname,
    include: ["*.fixture.ts"],
    pool: process.env["AIRFLOW_RESOURCE_TEST_POOL"],
    globalSetup: process.env["AIRFLOW_RESOURCE_TEST_SETUP"] === "true"
      ? ["../../packages/testing/src/globalSetup.ts"]
      : []
  }
})
