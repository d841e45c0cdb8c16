import { DeploymentCache } from "@airflow-resource/core"
import { suite } from "./DeploymentCache.suite.js"

suite("DeploymentCache in memory", DeploymentCache.layerMemory)
