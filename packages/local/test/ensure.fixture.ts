// Installs the Airflow of the options in JSON, and prints each activity, then "done" and the folder.
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { PythonEnvironment } from "@airflow-resource/local"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer, Option } from "effect"

const { home, requirements, version } = JSON.parse(process.argv[2] ?? "")
const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))
const program = PythonEnvironment.ensure({
  home,
  version,
  python: Option.none(),
  requirements: Option.fromNullable(requirements),
  database: "sqlite"
}, say)
void Effect.runPromise(program.pipe(
  Effect.flatMap(({ folder }) => say(`done ${folder}`)),
  Effect.provide(Layer.merge(ProcessRunner.layer, NodeContext.layer))
))
