import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: {
    name: "airflow",
    root: new URL("../..", import.meta.url).pathname,
    include: ["packages/*/test/**/*.airflow.ts", "test/**/*.airflow.ts"],
    // the files share one server, and one file's reset would delete what another file needs
    fileParallelism: false
  }
})
