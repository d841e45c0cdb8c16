/** The health that Airflow reports of its components. */
import type { Component } from "../World.js"
import type { Airflow } from "./Airflow.js"
import * as Times from "./Times.js"

const heartbeatInterval = 5000

/** A component whose last heartbeat is older than this is unhealthy. */
const threshold = 30_000

export interface ComponentHealth {
  readonly status: string | null
  readonly heartbeat: string | null
}

/** The health of a component that runs, and sends heartbeats unless a test made it unhealthy. */
export const component = ({ now, world }: Airflow, name: Component): ComponentHealth => {
  const since = world.unhealthy.get(name)
  const at = since === undefined ? now - (now - world.startedAt) % heartbeatInterval : since - threshold
  return { status: since === undefined ? "healthy" : "unhealthy", heartbeat: Times.offset(Times.micros(at)) }
}

/** The health of a component that does not run. */
export const absent: ComponentHealth = { status: null, heartbeat: null }

export const report = (airflow: Airflow, dagProcessor: ComponentHealth) => {
  const scheduler = component(airflow, "scheduler")
  const triggerer = component(airflow, "triggerer")
  return {
    metadatabase: { status: "healthy" },
    scheduler: { status: scheduler.status, latest_scheduler_heartbeat: scheduler.heartbeat },
    triggerer: { status: triggerer.status, latest_triggerer_heartbeat: triggerer.heartbeat },
    dag_processor: { status: dagProcessor.status, latest_dag_processor_heartbeat: dagProcessor.heartbeat }
  }
}
