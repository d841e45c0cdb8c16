/** What tasks leave in their working folder, which is the deployment's: on Astro too, it has the project's files. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as DeploymentFolder from "../DeploymentFolder.js"
import * as Logs from "./logs.js"

/** Deletes the logs of tasks, and every file and folder that is not the deployment's own. */
export const deleteAll = (home: string): void => {
  Logs.deleteOfTasks(home)
  for (const name of DeploymentFolder.names(home)) {
    if (!isOwn(name)) fs.rmSync(path.join(home, name), { recursive: true, force: true })
  }
}

// internal

/** Apart from what a file is called while it is written, or while its database is open. */
const own = new Set([
  ..."dags include plugins logs tokens airflow.cfg airflow.db base.db snapshot.db passwords.json webserver_config.py"
    .split(" "),
  ...DeploymentFolder.files
])

const isOwn = (name: string) =>
  own.has(name.replace(/(-wal|-shm|-journal|\.new|\.[0-9a-f]{8})$/, "")) || /^airflow-[a-z-]+\.pid$/.test(name)
