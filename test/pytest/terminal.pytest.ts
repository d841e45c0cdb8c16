/** The command on a terminal. Python has the pseudo-terminal. Afterwards nothing is awake, and no token is valid, without a reaper. */
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Child from "../child.js"
import * as Project from "./project.js"

const spawnOnTerminal = `
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))`

/** `airflow-resource` on a terminal of its own. */
const open = (project: string, env: Readonly<Record<string, string>>, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(Project.python, ["-c", spawnOnTerminal, "node_modules/.bin/airflow-resource", ...args], {
          cwd: project,
          env: { ...process.env, NO_COLOR: "1", TERM: "xterm", ...env },
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let shown = ""
    child.stdout.on("data", (chunk) => (shown += chunk))
    const exited = once(child, "exit")
    return {
      child,
      shows: (text: string) => Project.until(Effect.sync(() => shown), (all) => all.includes(text)),
      type: (keys: string) => Effect.sync(() => child.stdin.write(keys)),
      code: Effect.map(Effect.promise(() => exited), ([code]) => code as number)
    }
  })

const ctrlC = "\u0003"

const scene = (
  title: string,
  speed: number,
  args: ReadonlyArray<string>,
  play: (terminal: Effect.Effect.Success<ReturnType<typeof open>>) => Effect.Effect<void>
) =>
  it.scopedLive(title, () =>
    Effect.gen(function*() {
      const emulator = yield* Emulator.make({ speed })
      const { folder, project } = yield* Project.make
      const env = { ...Child.environment(emulator, folder, 1) }
      yield* play(yield* open(project, env, ...args))
      yield* Project.until(
        emulator.audit,
        ({ awake, deployments, tokens }) => deployments.length > 0 && awake.length + tokens.length === 0
      )
    }).pipe(Effect.provide(NodeContext.layer)), 5 * 60_000)

/** Says how many signals it has had, a while after the first one. */
const counts = `
  let count = 0
  process.on("SIGINT", () => {
    count += 1
    if (count === 1) setTimeout(() => { console.log("had", count); process.exit(5) }, 1500)
  })
  setInterval(() => {}, 1000)
  console.log("it runs")`

describe("the command on a terminal", () => {
  scene(
    "shows one live line, and lets the program alone have Ctrl-C",
    100,
    ["exec", "--", "node", "-e", counts],
    (terminal) =>
      Effect.gen(function*() {
        const shown = yield* terminal.shows("it runs")
        assert.match(shown, /\r.*creating \(\d.* in all\)/)
        assert.notMatch(shown, /^airflow-resource: /m)
        yield* terminal.type(ctrlC)
        yield* terminal.shows("had 1")
        assert.strictEqual(yield* terminal.code, 5)
      })
  )

  scene("gives the Airflow of `lease` back at Ctrl-C", 100, ["lease"], (terminal) =>
    Effect.gen(function*() {
      yield* terminal.shows("is yours until you press Ctrl-C")
      yield* terminal.type(ctrlC)
      assert.strictEqual(yield* terminal.code, 0)
    }))

  for (const [step, speed] of [["waiting for HEALTHY", 10], ["waiting for Airflow", 20], ["verifying", 50]] as const) {
    scene(`gives up at Ctrl-C while ${step}`, speed, ["run", "hello_world_dag"], (terminal) =>
      Effect.gen(function*() {
        yield* terminal.shows(step)
        yield* terminal.type(ctrlC)
        assert.strictEqual(yield* terminal.code, 130)
      }))
  }

  scene(
    "ends the program and its lease with the terminal",
    100,
    ["exec", "--", "sh", "-c", "echo it runs; sleep 300"],
    (terminal) =>
      Effect.gen(function*() {
        yield* terminal.shows("it runs")
        // the terminal goes with the process that shows it
        terminal.child.kill("SIGKILL")
      })
  )
})
