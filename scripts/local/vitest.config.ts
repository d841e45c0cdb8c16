import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "local",
    root: new URL("../..", import.meta.url).pathname,
    include: ["packages/*/test/**/*.local.ts", "test/**/*.local.ts"],
    // installations and real Airflows at the same time would only slow each other down
    fileParallelism: false
  }
})
