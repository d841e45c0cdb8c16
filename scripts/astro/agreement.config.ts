import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: { name: "astro-agreement", root: new URL(".", import.meta.url).pathname, include: ["agreement.suite.ts"] }
})
