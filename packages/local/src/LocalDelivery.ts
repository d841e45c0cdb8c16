/**
 * Delivery to an Airflow on this machine: the project's files are copied into the leased deployment.
 *
 * @since 0.1.0
 */
import * as DagDelivery from "@airflow-resource/core/DagDelivery"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as AirflowSettings from "./AirflowSettings.js"
import * as DeploymentFolder from "./internal/DeploymentFolder.js"
import { give } from "./internal/order.js"
import type { Order } from "./internal/supervisor/Airflow.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The folder of all environments and deployments. */
  readonly home: string
  /** The folder of the DAGs, absolute. */
  readonly dags: string
  /** The project's root, absolute: its folders `include` and `plugins` are delivered too, and its `airflow_settings.yaml`. */
  readonly root: string
  /** Environment variables for Airflow's processes. A change of them restarts it. */
  readonly variables: Readonly<Record<string, Redacted.Redacted>>
  /** Whether a DAG file that Airflow cannot import is accepted. If not, it fails the lease, with its stack trace. */
  readonly allowBroken: boolean
}

/**
 * Succeeds once Airflow has parsed every file, and has the text of each that has a DAG. What an earlier lease delivered is gone by then.
 * The state that results is what the deployment is reset to.
 *
 * @example
 * ```ts
 * import * as LocalDelivery from "@airflow-resource/local/LocalDelivery"
 *
 * export const delivery = LocalDelivery.layer({
 *   home: "/home/me/.cache/airflow-resource/local",
 *   dags: "/home/me/project/dags",
 *   root: "/home/me/project",
 *   variables: {},
 *   allowBroken: false
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  { allowBroken, dags, home, root, variables }: Options
): Layer.Layer<DagDelivery.DagDelivery, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    DagDelivery.DagDelivery,
    Effect.map(Effect.context<FileSystem.FileSystem | Path.Path>(), (context) => ({
      // asked for before the lease waits for anything
      lock: Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(dags), () => false)).pipe(
        Effect.provide(context),
        Effect.filterOrFail(
          (exists) => exists,
          () =>
            new DagDelivery.DeliveryError({
              kind: "notFound",
              operation: `deliver ${dags}`,
              detail: "there is no such folder",
              remedy: "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."
            })
        ),
        Effect.as(Option.none())
      ),
      deliver: ({ deploymentId, deploymentName, onWait }) =>
        Effect.gen(function*() {
          const settings = yield* AirflowSettings.read(root)
          yield* onWait(`waiting until the DAGs of ${dags} are live`)
          const order: typeof Order.Type = {
            allowBroken,
            dags,
            root,
            settings,
            variables: Record.map(variables, Redacted.value)
          }
          yield* give(DeploymentFolder.folderOf(home, deploymentId), "deliver", order)
        }).pipe(
          Effect.provide(context),
          Effect.mapError((error) =>
            new DagDelivery.DeliveryError({
              operation: `deliver ${dags} to ${deploymentName}`,
              ...(error._tag === "SettingsInvalid"
                ? { kind: "invalid", detail: error.message.replace(/\.$/, ""), remedy: "Then run the test again." }
                : {
                  kind: error.isRefused ? "invalid" : "unreachable",
                  detail: error.detail.replace(/\.$/, ""),
                  remedy: error.isRefused
                    ? `Correct the files. To lease without those that cannot be imported, set AIRFLOW_RESOURCE_LOCAL_BROKEN_DAGS=allow. See also ${error.log}.`
                    : `See ${error.log}.`
                })
            })
          )
        )
    }))
  )
