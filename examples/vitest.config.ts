import { mergeConfig } from "vitest/config"
import shared from "../vitest.shared.js"

export default mergeConfig(shared, {
  test: { name: "examples", include: ["*.test.ts"], env: { AIRFLOW_RESOURCE_PROVIDER: "emulator" } }
})
