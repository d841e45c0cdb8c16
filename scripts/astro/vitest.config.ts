import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "astro-cli",
    root: new URL("../..", import.meta.url).pathname,
    include: ["packages/*/test/**/*.astro.ts"]
  }
})
