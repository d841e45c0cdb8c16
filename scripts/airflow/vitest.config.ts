import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "airflow",
    root: new URL("../..", import.meta.url).pathname,
    include: ["packages/*/test/**/*.airflow.ts", "test/**/*.airflow.ts"],
    // one server, whose reset would empty it under another file's hands
    fileParallelism: false
  }
})
