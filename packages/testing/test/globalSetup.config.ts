import { mergeConfig } from "vitest/config"
import shared from "../../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "global set-up",
    root: import.meta.dirname,
    include: ["globalSetup.fixture.ts", "workers/*.fixture.ts"],
    poolOptions: { forks: { minForks: 4, maxForks: 4 } },
    // `@airflow-resource/testing/globalSetup` for those who have it installed
    globalSetup: ["../src/globalSetup.ts"]
  }
})
