import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Zygote from "../../src/internal/supervisor/Zygote.js"

it.live("a zygote makes no folder of the deployment that starts it, which may be gone by then", () =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "zygote-"))),
      (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true }))
    )
    const [environment, home] = [path.join(folder, "environment"), path.join(folder, "home")]
    fs.mkdirSync(path.join(environment, "bin"), { recursive: true })
    // as Airflow does when it is imported
    const python = "#!/bin/sh\nmkdir -p \"$AIRFLOW__LOGGING__BASE_LOG_FOLDER\"\ntouch imported\n"
    fs.writeFileSync(path.join(environment, "bin", "python"), python, { mode: 0o700 })
    yield* Zygote.ensure(environment, {
      PATH: process.env["PATH"] ?? "",
      AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(home, "logs")
    })
    yield* Effect.sync(() => fs.existsSync(path.join(environment, "imported"))).pipe(
      Effect.filterOrFail((isImported) => isImported),
      Effect.retry(Schedule.upTo(Schedule.spaced("20 millis"), "1 minute"))
    )
    assert.isFalse(fs.existsSync(home))
  }).pipe(Effect.scoped))
