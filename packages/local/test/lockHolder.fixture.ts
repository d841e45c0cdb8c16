// Takes the lock on the given file, prints "locked", and holds it until its standard input ends.
import { Effect } from "effect"
import { once } from "node:events"
import { acquire } from "../src/internal/FileLock.js"

const hold = acquire(process.argv[2] ?? "").pipe(
  Effect.andThen(Effect.promise(async () => {
    process.stdout.write("locked\n")
    await once(process.stdin.resume(), "end")
  })),
  Effect.scoped
)
void Effect.runPromise(Effect.zipRight(Effect.sync(() => process.stdout.write("started\n")), hold))
