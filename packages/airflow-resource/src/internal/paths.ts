/** The variables that are paths. */
import * as Config from "effect/Config"
import * as Option from "effect/Option"
import type { Environment } from "./environment.js"
import * as Forms from "./forms.js"
import * as Variables from "./variables.js"

/** `Temporary`: a file that is deleted when the layer ends. */
export type Cache = { readonly _tag: "File"; readonly path: string } | { readonly _tag: "Temporary" }

/** The ledger's file, absolute. Has no default outside a project, where two processes could use two ledgers by accident. */
export const cacheFile = ({ resolve, root }: Environment): Config.Config<string> => {
  const file = Forms.text(Variables.name("AIRFLOW_RESOURCE_CACHE"))
  return Config.map(
    Option.isSome(root) ? Config.withDefault(file, Variables.own.AIRFLOW_RESOURCE_CACHE.default) : file,
    resolve
  )
}

/** The ledger of a pool. No other process can use a pool that is not shared. */
export const cache = (environment: Environment, isShared: boolean): Config.Config<Cache> =>
  isShared
    ? Config.map(cacheFile(environment), (path) => ({ _tag: "File", path }))
    : Config.succeed({ _tag: "Temporary" })

/** The folder of the DAGs, absolute. */
export const dags = ({ resolve }: Environment): Config.Config<string> =>
  Config.map(
    Config.withDefault(
      Forms.text(Variables.name("AIRFLOW_DAG_PATH")),
      Variables.own.AIRFLOW_DAG_PATH.default
    ),
    resolve
  )
