import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as parses from "../../src/internal/supervisor/parses.js"

const at = (second: number) => new Date(Date.UTC(2026, 10, 29, 21, 6, second, 707)).toISOString()

const inHome = (log: string, lines: ReadonlyArray<string>) => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "parses-"))
  const file = path.join(home, "logs", log)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, lines.map((line) => `${line}\n`).join(""))
  return home
}

describe("the parses of a file", () => {
  for (
    const [version, log, line] of [
      [
        2,
        "scheduler/2026-11-29/some/a.py.log",
        (second: number) =>
          `[${at(second).replace("Z", "+0000")}] {dagbag.py:588} INFO - Filling up the DagBag from /home/dags/some/a.py`
      ],
      [
        3,
        "dag_processor/2026-11-29/dags-folder/some/a.py.log",
        (second: number) =>
          `{"timestamp":"${
            at(second).replace("Z", "530Z")
          }","level":"info","event":"Filling up the DagBag from /home/dags/some/a.py","filename":"dagbag.py"}`
      ]
    ] as const
  ) {
    it(`of Airflow ${version} begin as its log says`, () => {
      const lines = [line(1), "Hello from the file", line(3), `${"x".repeat(300_000)}`, line(5), "}", line(7)]
      const home = inHome(log, lines)
      try {
        const after = (second: number) => parses.begunAfter(home, "some/a.py", Date.parse(at(second)))
        assert.deepStrictEqual(after(5), [Date.parse(at(7))])
        assert.deepStrictEqual(after(4), [Date.parse(at(5)), Date.parse(at(7))])
        assert.deepStrictEqual(after(7), [])
        assert.deepStrictEqual(parses.begunAfter(home, "a.py", 0), [])
      } finally {
        fs.rmSync(home, { recursive: true })
      }
    })
  }
})
