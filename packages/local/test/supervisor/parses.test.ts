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

  it("of Airflow 2 end with a line, unless their process has ended before", () => {
    const line = (second: number, text: string) => `[${at(second).replace("Z", "+0000")}] {some.py:1} INFO - ${text}`
    const begins = (second: number) => line(second, "Filling up the DagBag from /home/dags/a.py")
    const home = inHome("scheduler/2026-11-29/a.py.log", [
      begins(1),
      line(2, "Processing /home/dags/a.py took 0.123 seconds"),
      begins(3),
      begins(5)
    ])
    try {
      const death = (second: number) => parses.deathOf(home, "a.py", Date.parse(at(second)))
      assert.isUndefined(death(1))
      assert.match(death(3) ?? "", /has crashed or was killed/)
      assert.isUndefined(death(5), "it may still end")
    } finally {
      fs.rmSync(home, { recursive: true })
    }
  })

  it("of Airflow 3 end without a line, unless their process was killed or has crashed", () => {
    const line = (second: number, event: string) =>
      JSON.stringify({ timestamp: at(second).replace("Z", "530Z"), level: "info", event })
    const begins = (second: number) => line(second, "Filling up the DagBag from /home/dags/a.py")
    const home = inHome("dag_processor/2026-11-29/dags-folder/a.py.log", [
      begins(1),
      begins(3),
      line(4, "Process terminated by signal. Likely out of memory error (OOM)."),
      begins(5),
      line(6, "Process exited abnormally"),
      begins(7),
      begins(9)
    ])
    const kills = (second: number, file: string, words: string) =>
      `${
        at(second)
      } [error    ] Processor for DagFileInfo(rel_path=PosixPath('${file}'), bundle_name='x') with PID 1 ${words}\n`
    fs.writeFileSync(
      path.join(home, "logs", "dag-processor.log"),
      kills(0, "a.py", "started 50 ago killing it.") +
        kills(8, "a.py", "has been running for 50.1 seconds. Killing it!") +
        kills(10, "some/a.py", "started 50 ago killing it.")
    )
    try {
      const death = (second: number) => parses.deathOf(home, "a.py", Date.parse(at(second)))
      assert.isUndefined(death(1))
      assert.include(death(3), "terminated by signal")
      assert.include(death(5), "exited abnormally")
      assert.include(death(7), "dag_file_processor_timeout")
      assert.isUndefined(death(9))
    } finally {
      fs.rmSync(home, { recursive: true })
    }
  })
})
