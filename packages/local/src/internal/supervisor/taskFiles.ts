/** What tasks leave in their working folder, which is the deployment's: on Astro too, it has the project's files. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../DeploymentFolder.js"
import { databaseOf, passwordsOf } from "../recipe.js"
import * as Logs from "./logs.js"
import { baseOf, snapshotOf } from "./SqliteDatabase.js"

/** Deletes the logs of tasks, and every file and folder that is not the deployment's own. */
export const deleteAll = (home: string): void => {
  Logs.deleteOfTasks(home)
  const own = new Set([
    ...DeploymentFolder.files,
    ...DeploymentFolder.folders,
    ...[databaseOf, baseOf, snapshotOf, passwordsOf].map((file) => path.basename(file(home)))
  ])
  for (const name of DeploymentFolder.names(home)) {
    // what a file is called while it is written, or while its database is open
    const base = name.replace(/(-wal|-shm|-journal|\.new|\.[0-9a-f]{8})$/, "")
    if (!own.has(base) && !isOfAirflow(name)) fs.rmSync(path.join(home, name), { recursive: true, force: true })
  }
}

// internal

const isOfAirflow = (name: string) => /^(airflow\.cfg|webserver_config\.py|airflow-[a-z-]+\.pid)$/.test(name)
