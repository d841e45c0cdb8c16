/**
 * Time of the simulated world, and everything that waits for it. Effect's TestClock waits a real millisecond for every sleep; one run
 * here has thousands. So the world has a clock and a scheduler of its own and runs as one synchronous program: same seed, same run.
 */
import { Clock, type Duration, Effect, type Exit, type Fiber, Random, Scheduler } from "effect"
import { createHash } from "node:crypto"

interface Timer {
  readonly at: number
  readonly run: () => void
  isCancelled: boolean
}

export class VirtualTime {
  /** Milliseconds, the same for everybody. */
  now = 1_000_000_000_000
  readonly #timers: Array<Timer> = []
  readonly #scheduler = new Scheduler.ControlledScheduler()
  readonly #random: Random.Random

  constructor(seed: number) {
    this.#random = Random.make(seed)
  }

  at(time: number, run: () => void): Timer {
    const timer = { at: Math.max(time, this.now), run, isCancelled: false }
    let index = this.#timers.length
    while (index > 0 && this.#timers[index - 1]!.at > timer.at) index--
    this.#timers.splice(index, 0, timer)
    return timer
  }

  /** Starts an effect; it goes on whenever time does. */
  fork<A, E>(effect: Effect.Effect<A, E>, clock: Clock.Clock): Fiber.RuntimeFiber<A, E> {
    const fiber = Effect.runFork(effect.pipe(Effect.withClock(clock), Effect.withRandom(this.#random)), {
      scheduler: this.#scheduler
    })
    this.settle()
    return fiber
  }

  /** Runs what can run now. */
  settle(): void {
    while (this.#scheduler.tasks.buckets.length > 0) this.#scheduler.step()
  }

  /** Until something is the case, for `limit` milliseconds at most. Answers whether it is. */
  until(isCase: () => boolean, limit: number): boolean {
    const end = this.now + limit
    for (;;) {
      this.settle()
      if (isCase()) return true
      const next = this.#timers[0]
      if (next === undefined || next.at > end) {
        this.now = end
        return false
      }
      this.#timers.shift()
      if (next.isCancelled) continue
      this.now = next.at
      next.run()
    }
  }

  /** What `effect` answers, however long that takes, within `limit` milliseconds. */
  run<A, E>(effect: Effect.Effect<A, E>, clock: Clock.Clock, limit: number): Exit.Exit<A, E> | undefined {
    const fiber = this.fork(effect, clock)
    let exit: Exit.Exit<A, E> | undefined
    fiber.addObserver((ended) => void (exit = ended))
    this.until(() => exit !== undefined, limit)
    return exit
  }

  /** A clock whose sleepers are woken by `wake`, and whose wall is ahead of time by `skew`. */
  clock(wake: (resume: () => void) => void, skew: () => number): Clock.Clock {
    const millis = () => this.now + skew()
    const nanos = () => BigInt(Math.round(this.now)) * 1_000_000n
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: millis,
      currentTimeMillis: Effect.sync(millis),
      unsafeCurrentTimeNanos: nanos,
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration: Duration.Duration) =>
        Effect.async<void>((resume) => {
          const timer = this.at(this.now + toMillis(duration), () => wake(() => resume(Effect.void)))
          return Effect.sync(() => void (timer.isCancelled = true))
        })
    }
  }
}

const toMillis = (duration: Duration.Duration) =>
  duration.value._tag === "Millis"
    ? duration.value.millis
    : duration.value._tag === "Nanos"
    ? Number(duration.value.nanos) / 1e6
    : Infinity

/** The pool's id is a digest, which only comes as a promise: answered in the same turn, or the world would not be synchronous. */
const sha256 = (data: Uint8Array) => {
  const { buffer } = new Uint8Array(createHash("sha256").update(data).digest())
  return { then: (resolve: (digest: ArrayBuffer) => unknown) => resolve(buffer) }
}
Object.defineProperty(globalThis.crypto.subtle, "digest", {
  value: (_: string, data: Uint8Array) => sha256(data)
})
