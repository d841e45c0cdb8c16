import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "pytest",
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/pytest/*.pytest.ts"],
    // real Airflows and runs of pytest at the same time would only slow each other down
    fileParallelism: false,
    maxConcurrency: 3
  }
})
