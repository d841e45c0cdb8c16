/**
 * The time of a simulated world, and everything that waits for it. Effect's TestClock takes a real millisecond for
 * every sleep, and one run here sleeps thousands of times. So the world has its own clock and scheduler and runs as one
 * synchronous program: the same seed gives the same run.
 */
import { Clock, type Duration, Effect, type Exit, type Fiber, GlobalValue, Random, Scheduler } from "effect"
import { createHash } from "node:crypto"

interface Timer {
  readonly at: number
  readonly run: () => void
  isCancelled: boolean
}

export class VirtualTime {
  /** Milliseconds, the same for every process. */
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

  /** Starts an effect, which continues whenever time passes. */
  fork<A, E>(effect: Effect.Effect<A, E>, clock: Clock.Clock): Fiber.RuntimeFiber<A, E> {
    const fiber = Effect.runFork(effect.pipe(Effect.withClock(clock), Effect.withRandom(this.#random)), {
      scheduler: this.#scheduler
    })
    this.settle()
    return fiber
  }

  /**
   * Makes everything that still runs collectable. Effect refers to each fiber without a parent until it ends, and a
   * fiber of a crashed process never ends.
   */
  close(): void {
    for (const fiber of roots) {
      if (fiber.currentScheduler === this.#scheduler) roots.delete(fiber)
    }
  }

  /** Runs everything that need not wait for time. */
  settle(): void {
    while (this.#scheduler.tasks.buckets.length > 0) this.#scheduler.step()
  }

  /** Lets time pass until the condition holds, for `limit` milliseconds at most. Returns whether it holds. */
  until(condition: () => boolean, limit: number): boolean {
    const end = this.now + limit
    for (;;) {
      this.settle()
      if (condition()) return true
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

  /** Runs an effect to its end. `undefined`: it did not end within `limit` milliseconds. */
  run<A, E>(effect: Effect.Effect<A, E>, clock: Clock.Clock, limit: number): Exit.Exit<A, E> | undefined {
    const fiber = this.fork(effect, clock)
    let exit: Exit.Exit<A, E> | undefined
    fiber.addObserver((ended) => void (exit = ended))
    this.until(() => exit !== undefined, limit)
    return exit
  }

  /**
   * A clock whose sleepers are resumed through `wake`, and whose wall clock is `skew` milliseconds ahead of this time.
   */
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

/** Suspends for ever. `Effect.never` would keep a real timer, and with it the worker, alive. */
export const never: Effect.Effect<never> = Effect.async<never>(() => {})

/** Effect's own set of the fibers without a parent. `Fiber.roots` returns a copy of it. */
const { roots } = GlobalValue.globalValue(
  Symbol.for("effect/FiberScope/Global"),
  (): { readonly roots: Set<Fiber.RuntimeFiber<unknown, unknown>> } => {
    throw new Error("Effect no longer keeps its root fibers here, so crashed worlds would never be collected.")
  }
)

const toMillis = (duration: Duration.Duration) =>
  duration.value._tag === "Millis"
    ? duration.value.millis
    : duration.value._tag === "Nanos"
    ? Number(duration.value.nanos) / 1e6
    : Infinity

/**
 * The pool's id is a digest, which comes as a promise. It resolves in the same turn here, or the world would not be
 * synchronous.
 */
const sha256 = (data: Uint8Array) => {
  const { buffer } = new Uint8Array(createHash("sha256").update(data).digest())
  return { then: (resolve: (digest: ArrayBuffer) => unknown) => resolve(buffer) }
}
Object.defineProperty(globalThis.crypto.subtle, "digest", {
  value: (_: string, data: Uint8Array) => sha256(data)
})
