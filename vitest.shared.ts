import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const conditions = ["@airflow-resource/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // only a safety net: on a busy machine everything takes longer
    testTimeout: 300_000,
    hookTimeout: 300_000,
    setupFiles: [fileURLToPath(new URL("vitest.setup.ts", import.meta.url))]
  }
})
