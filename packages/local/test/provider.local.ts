import { DeploymentProvider } from "@airflow-resource/core"
import { Effect, Layer } from "effect"
import { suite } from "../../core/test/provider/DeploymentProvider.suite.js"
import * as Home from "./home.js"

const layer = Layer.scoped(
  DeploymentProvider.DeploymentProvider,
  Effect.flatMap(Home.make, (home) => Home.provider(home))
)

suite(`LocalProvider with Airflow ${Home.version}`, layer, {
  spec: await Effect.runPromise(Home.spec),
  patience: Home.patience
})
