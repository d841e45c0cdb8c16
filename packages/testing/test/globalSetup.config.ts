import { mergeConfig } from "vitest/config"
import shared from "../../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "global setup",
    root: import.meta.dirname,
    include: ["globalSetup.fixture.ts", "workers/*.fixture.ts"],
    poolOptions: { forks: { minForks: 4, maxForks: 4 } },
    // users write "@airflow-resource/testing/globalSetup"
    globalSetup: ["../src/globalSetup.ts"]
  }
})
