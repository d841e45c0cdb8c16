/** Two ways to do the same in alternating batches, so that whatever slows the machine down slows both; and a table of it. */
import { Array as Arr, Effect, Order } from "effect"

/** Two ways to do the same. */
export interface Ways<A, E, B> {
  readonly ours: Effect.Effect<A, E>
  readonly baseline: () => Promise<B>
  /** Whether both saw the same, where there is something to see. */
  readonly agree?: (ours: A, baseline: B) => boolean
}

/** Milliseconds per call: the median of the batches. */
export interface Figure {
  readonly ours: number
  readonly baseline: number
  /** The median of the batches' own ratios, the lowest and the highest. */
  readonly ratio: number
  readonly range: readonly [number, number]
}

export interface Line {
  readonly what: string
  readonly ours: string
  readonly baseline: string
  readonly ratio: string
}

/**
 * Measures the time on the clock and that of our own CPU, in batches of so many calls. It takes seconds and not a number of batches,
 * so that the whole stays short on a busy machine.
 */
export const compare = <A, E, B>(
  { agree = () => true, baseline, ours }: Ways<A, E, B>,
  calls: number
): Effect.Effect<{ readonly clock: Figure; readonly cpu: Figure }, E> =>
  Effect.gen(function*() {
    if (!agree(yield* ours, yield* Effect.promise(baseline))) {
      return yield* Effect.dieMessage("the two ways do not do the same: there is nothing to compare")
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
      // who comes first changes too
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

/** Of what is measured in time. */
export const timed = (what: string, { baseline, ours, range: [low, high], ratio }: Figure): Line => ({
  what,
  ours: `${ours.toFixed(2)} ms`,
  baseline: `${baseline.toFixed(2)} ms`,
  ratio: `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
})

/** Of what is counted, and comes out the same every time. */
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

/** Between two values it lies on the line from one to the other. */
export const quantile = (values: ReadonlyArray<number>, q: number): number => {
  const sorted = Arr.sort(values, Order.number)
  const at = (sorted.length - 1) * q
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN]
  return low + (high - low) * (at - Math.floor(at))
}

// internal

/** Milliseconds in which the code becomes as fast as it gets; not measured. */
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
