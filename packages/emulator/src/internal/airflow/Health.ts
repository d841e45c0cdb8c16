/** What health says of Airflow's processes. */
import type { Process } from "../World.js"
import type { Site } from "./Site.js"
import * as Times from "./Times.js"

const beat = 5000

/** Since when a process that does not beat any more counts as unhealthy. */
const threshold = 30_000

/** A process that beats every five seconds, unless it was made unhealthy. */
export const of = ({ now, world }: Site, process: Process) => {
  const since = world.unhealthy.get(process)
  const at = since === undefined ? now - (now - world.startedAt) % beat : since - threshold
  return { status: since === undefined ? "healthy" : "unhealthy", heartbeat: Times.offset(Times.micros(at)) }
}

/** One that there is none of, unless it was made unhealthy. */
const ofAbsent = (site: Site, process: Process) =>
  site.world.unhealthy.has(process) ? of(site, process) : { status: null, heartbeat: null }

export const report = (
  site: Site,
  dagProcessor: { readonly status: string | null; readonly heartbeat: string | null }
) => {
  const scheduler = of(site, "scheduler")
  const triggerer = ofAbsent(site, "triggerer")
  return {
    metadatabase: { status: "healthy" },
    scheduler: { status: scheduler.status, latest_scheduler_heartbeat: scheduler.heartbeat },
    triggerer: { status: triggerer.status, latest_triggerer_heartbeat: triggerer.heartbeat },
    dag_processor: { status: dagProcessor.status, latest_dag_processor_heartbeat: dagProcessor.heartbeat }
  }
}
