import { assert, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as taskFiles from "../../src/internal/supervisor/taskFiles.js"

it("what a task leaves in the folder where it works is deleted, and nothing else", () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "task-files-"))
  const elsewhere = fs.mkdtempSync(path.join(os.tmpdir(), "task-files-"))
  try {
    const write = (name: string) => {
      fs.mkdirSync(path.dirname(path.join(home, name)), { recursive: true })
      fs.writeFileSync(path.join(home, name), "")
    }
    const own = `
      dags/a.py include/a.sql plugins/a.py tokens/1.json logs/scheduler.log
      airflow.cfg airflow.db airflow.db-wal airflow.db-shm airflow-webserver.pid
      base.db snapshot.db snapshot.db.new passwords.json webserver_config.py
      deployment.json request.json request.json.0123abcd state.json variables.json
      variables.lock delivered.json server.json supervisor.lock supervisor.log
    `.trim().split(/\s+/)
    own.forEach(write)
    const left = ["out.csv", ".cache/x", "state.csv", "snapshot.db.csv", "data/a/b", "logs/dag_id=a/attempt=1.log"]
    left.forEach(write)
    fs.writeFileSync(path.join(elsewhere, "precious"), "")
    fs.symlinkSync(elsewhere, path.join(home, "link"))
    taskFiles.deleteAll(home)
    const files = fs.readdirSync(home, { recursive: true, withFileTypes: true }).filter((one) => !one.isDirectory())
    assert.sameMembers(files.map((one) => path.relative(home, path.join(one.parentPath, one.name))), own)
    assert.deepStrictEqual(fs.readdirSync(elsewhere), ["precious"])
  } finally {
    fs.rmSync(home, { recursive: true })
    fs.rmSync(elsewhere, { recursive: true })
  }
})
