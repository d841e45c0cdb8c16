import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: ["packages/*/vitest.config.ts", "test/vitest.config.ts", "examples/vitest.config.ts"],
    maxWorkers: 4,
    // leases log their steps, which only helps where a test fails
    silent: "passed-only"
  }
})
