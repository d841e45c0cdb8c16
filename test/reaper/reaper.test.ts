import { NodeContext } from "@effect/platform-node"
import { it } from "@effect/vitest"
import { Cause, Console, Effect, Exit, Option } from "effect"
import { type End, ends, endsInTerminal, type Phase, phases, play, type Scene } from "./scene.js"

/** Every way to end a run in every phase, or those that match this pattern; seven of them by default. */
const pattern = process.env["AIRFLOW_RESOURCE_SCENES"] ??
  (process.env["AIRFLOW_RESOURCE_CHAOS"] === undefined ? undefined : ".")

const scenes: ReadonlyArray<Scene> = pattern !== undefined
  ? (Object.keys({ ...ends, ...endsInTerminal }) as Array<End>).flatMap((end) =>
    (Object.keys(phases) as Array<Phase>).flatMap((phase) =>
      (["forks", "threads"] as const).flatMap((pool) =>
        [false, true].map((globalSetup): Scene => ({ end, phase, pool, globalSetup }))
      )
    )
  ).filter((scene) => new RegExp(pattern).test(JSON.stringify(scene)))
  : [
    { end: "Ctrl-C", phase: "use", pool: "forks", globalSetup: true },
    { end: "kill -9 of all processes", phase: "create", pool: "forks", globalSetup: false },
    { end: "kill -9 of the main process", phase: "wake", pool: "forks", globalSetup: false },
    { end: "kill -9 of the worker", phase: "reset", pool: "forks", globalSetup: false },
    { end: "SIGHUP", phase: "release", pool: "threads", globalSetup: false },
    { end: "SIGTERM", phase: "queue", pool: "threads", globalSetup: true },
    { end: "Ctrl-C twice", phase: "use", pool: "threads", globalSetup: false }
  ]

// they mostly wait
it.live(
  "a run that is ended in any phase leaves nothing awake and no token valid, without a further command",
  () =>
    // all of them, even if one fails, because they take long
    Effect.forEach(scenes, (scene) =>
      Effect.gen(function*() {
        const seconds = yield* Effect.scoped(play(scene)).pipe(
          Effect.tapErrorCause((cause) => Console.error(JSON.stringify(scene), Cause.pretty(cause)))
        )
        if (pattern !== undefined) yield* Console.log(`${seconds.toFixed(1)} s`, JSON.stringify(scene))
      }).pipe(Effect.exit), { concurrency: 4 }).pipe(
        Effect.flatMap((exits) => Option.getOrElse(Exit.all(exits, { parallel: true }), () => Exit.succeed([]))),
        Effect.provide(NodeContext.layer)
      ),
  pattern !== undefined ? 4 * 3_600_000 : 900_000
)
