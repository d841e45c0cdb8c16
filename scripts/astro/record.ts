/**
 * `npm run record:astro [program…]`: records the output and requests of real astro CLIs in `packages/astro/test/recordings`, one file per
 * version. Without an argument: `ASTRO_BIN`, else the `astro` on the PATH. Sends requests to loopback only.
 */
import { Console, Data, Effect } from "effect"
import { writeFileSync } from "node:fs"
import { play, type Recording } from "../../packages/astro/test/recording.js"
import { scenes } from "../../packages/astro/test/scenes.js"
import * as Run from "../run.js"
import { programAt, programs } from "./program.js"

class Unnamed extends Data.TaggedError("Unnamed")<{ readonly message: string }> {}

const record = (bin: string | undefined) =>
  Effect.gen(function*() {
    const { path, version } = yield* programAt(bin)
    if (version === "") {
      return yield* new Unnamed({ message: `${path} has no version number. Build it with one, or use a release.` })
    }
    const played = yield* Effect.forEach(scenes, (scene) =>
      Effect.map(Effect.scoped(play(scene, path)), (invocations) =>
        [scene.title, invocations] as const).pipe(
          Effect.tap(([title, { length }]) => Console.log(`astro ${version}, ${title}: ${length} calls`))
        ))
    const recording: Recording = { astro: version, scenes: Object.fromEntries(played) }
    const file = new URL(`../../packages/astro/test/recordings/${version}.json`, import.meta.url)
    writeFileSync(file, `${JSON.stringify(recording, null, 2)}\n`)
  })

await Run.main(Effect.forEach(programs, (bin) => Run.outcome(`the recording of ${bin ?? "astro"}`, record(bin))))
