import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "vitest",
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/vitest/*.vitest.ts"],
    maxConcurrency: 5
  }
})
