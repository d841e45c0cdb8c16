/**
 * Measures two ways to do the same in alternating batches, so that a slow machine slows both down, and renders a table.
 */
import { Array as Arr, Effect, Order } from "effect"

/** The two ways. */
export interface Ways<A, E, B> {
  readonly ours: Effect.Effect<A, E>
  readonly baseline: () => Promise<B>
  /** Whether both returned the same [not checked]. */
  readonly agree?: (ours: A, baseline: B) => boolean
}

/** Milliseconds per call: the median of the batches. */
export interface Figure {
  readonly ours: number
  readonly baseline: number
  /** The median of the ratios of the batches. */
  readonly ratio: number
  /** The lowest and the highest ratio. */
  readonly range: readonly [number, number]
}

export interface Line {
  readonly what: string
  readonly ours: string
  readonly baseline: string
  readonly ratio: string
}

/**
 * Measures clock time and the CPU time of this process, in batches of `calls` calls. The measurement has a fixed length
 * instead of a fixed number of batches, so that it stays short on a busy machine.
 */
export const compare = <A, E, B>(
  { agree = () => true, baseline, ours }: Ways<A, E, B>,
  calls: number
): Effect.Effect<{ readonly clock: Figure; readonly cpu: Figure }, E> =>
  Effect.gen(function*() {
    if (!agree(yield* ours, yield* Effect.promise(baseline))) {
      return yield* Effect.dieMessage(
        "compare: the two ways returned different results, so their times cannot be compared"
      )
    }
    const oursBatch = spent(
      Effect.gen(function*() {
        for (let call = 0; call < calls; call++) yield* ours
      }),
      calls
    )
    const baselineBatch = spent(
      Effect.promise(async () => {
        for (let call = 0; call < calls; call++) await baseline()
      }),
      calls
    )
    const pairs: Array<{ readonly ours: Spent; readonly baseline: Spent }> = []
    const startedAt = performance.now()
    const measuredFor = () => performance.now() - startedAt - warmup
    for (let batch = 0; pairs.length < 5 || measuredFor() < seconds * 1000; batch++) {
      const isWarm = measuredFor() >= 0
      // take turns at being first
      const pair = batch % 2 === 0
        ? yield* Effect.all({ ours: oursBatch, baseline: baselineBatch })
        : yield* Effect.all({ baseline: baselineBatch, ours: oursBatch })
      if (isWarm) pairs.push(pair)
    }
    const figure = (of: keyof Spent): Figure => {
      const ratios = pairs.map(({ baseline, ours }) => ours[of] / baseline[of])
      return {
        ours: median(pairs.map(({ ours }) => ours[of])),
        baseline: median(pairs.map(({ baseline }) => baseline[of])),
        ratio: median(ratios),
        range: [Math.min(...ratios), Math.max(...ratios)]
      }
    }
    return { clock: figure("clock"), cpu: figure("cpu") }
  })

/** A line about a measured time. */
export const timed = (what: string, { baseline, ours, range: [low, high], ratio }: Figure): Line => ({
  what,
  ours: `${ours.toFixed(2)} ms`,
  baseline: `${baseline.toFixed(2)} ms`,
  ratio: `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
})

/** A line about a count, which is the same in every run. */
export const counted = (what: string, ours: number, baseline: number): Line => ({
  what,
  ours: `${ours}`,
  baseline: `${baseline}`,
  ratio: (ours / baseline).toFixed(2)
})

export const render = (title: string, lines: ReadonlyArray<Line>): string => {
  const row = ({ baseline, ours, ratio, what }: Line) =>
    `${what.padEnd(64)}${ours.padStart(9)}${baseline.padStart(12)}   ${ratio}`
  return [row({ what: title, ours: "ours", baseline: "bare fetch", ratio: "ratio" }), ...lines.map(row)].join("\n")
}

/** The quantile, interpolated linearly between two values. */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = Arr.sort(values, Order.number)
  const at = (sorted.length - 1) * q
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN]
  return low + (high - low) * (at - Math.floor(at))
}

// internal

/** Milliseconds in which the code is optimised; they are not measured. */
const warmup = 800
const seconds = 1.7

/** Milliseconds per call. */
interface Spent {
  readonly clock: number
  readonly cpu: number
}

const spent = <E>(batch: Effect.Effect<void, E>, calls: number): Effect.Effect<Spent, E> =>
  Effect.gen(function*() {
    const cpu = process.cpuUsage()
    const startedAt = performance.now()
    yield* batch
    const clock = performance.now() - startedAt
    const { system, user } = process.cpuUsage(cpu)
    return { clock: clock / calls, cpu: (system + user) / 1000 / calls }
  })

const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)
