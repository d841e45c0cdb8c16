// For vitest 3 in this repository. A project with another version has its own: project.ts.
import { defineConfig } from "vitest/config"

const conditions = ["@airflow-resource/source"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: { root: `${import.meta.dirname}/fixtures`, include: ["*.fixture.ts"] }
})
