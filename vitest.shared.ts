import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const conditions = ["@airflow-resource/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: [fileURLToPath(new URL("vitest.setup.ts", import.meta.url))]
  }
})
