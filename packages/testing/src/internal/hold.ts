/** The lease of a test or of a file, whose beginning and end have budgets of their own. */
import type { Airflow } from "airflow-resource"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as process from "node:process"
import { vi } from "vitest"
import { AcquireBudgetSpent, TimersAreFake } from "../TestingError.js"
import * as Observation from "./observation.js"
import * as Patience from "./patience.js"
import * as RealTime from "./realTime.js"

export interface Options extends Omit<Airflow.Options, "signal" | "onProgress"> {
  readonly acquireTimeout: Duration.Duration
  readonly releaseTimeout: Duration.Duration
}

export interface Hold {
  /** Never rejects: see {@link isFailed}. */
  readonly lease: Promise<Airflow.Lease>
  /** Gives up the wait for an Airflow, or gives it back. Rejects if the lease was lost and that is not known yet. */
  readonly end: () => Promise<void>
  /** For a reporter. */
  readonly observation: Observation.Observation
}

export const begin = (
  airflows: Airflow.Airflows,
  { acquireTimeout, releaseTimeout, ...request }: Options
): Hold => {
  const { testName } = request
  const stop = new AbortController()
  const observation = Observation.begin(testName)
  let during = "starting"
  const acquire = async () => {
    if (vi.isFakeTimers()) throw new TimersAreFake()
    const timer = RealTime.after(
      acquireTimeout,
      () => stop.abort(new AcquireBudgetSpent({ testName, budget: acquireTimeout, during }))
    )
    const patience = Patience.begin(testName)
    try {
      return await airflows.lease({
        ...request,
        signal: stop.signal,
        onProgress: (progress) => {
          during = progress.activity
          observation.onProgress(progress)
          patience.onProgress(progress)
        }
      })
    } finally {
      patience.stop()
      timer.stop()
    }
  }
  /** There is no lease, and nothing left of one. */
  let isOver = false
  let isLost = false
  let held: Airflow.Lease | undefined
  const lease = acquire().then((lease) => {
    held = lease
    observation.isReady(lease)
    const lost = lease.lost()
    lost.catch((error) => {
      isLost = true
      observation.fails(error)
    })
    losses.set(lease, lost)
    return lease
  }, (error) => {
    isOver = true
    observation.fails(error)
    return failed(error)
  }).then((lease) => {
    observations.set(lease, observation)
    return lease
  })

  const release = async () => {
    observation.ends()
    if (isOver) return
    stop.abort(new Error("The test has ended."))
    // a release waits, and fake timers would stop it
    if (vi.isFakeTimers()) vi.useRealTimers()
    const wasLost = isLost
    const released = lease.then(() => held?.release()).catch((error) => {
      if (!wasLost) throw error
    }).finally(observation.isReleased)
    await new Promise<void>((resolve, reject) => {
      const timer = RealTime.after(releaseTimeout, () => {
        process.stderr.write(
          `airflow-resource: giving back the Airflow of "${testName}" takes longer than ${
            Duration.format(releaseTimeout)
          }. It goes on; if this process ends before that, the reaper does the rest.\n`
        )
        resolve()
      })
      released.finally(timer.stop).then(resolve, reject)
    })
  }
  let ending: Promise<void> | undefined
  return { lease, end: () => ending ??= release(), observation }
}

/**
 * Whether this stands for a lease that could not be had. Vitest 4 does not set up a fixture again that has thrown, not
 * even for a retry. So there always is a value, and this one throws the reason when it is used.
 */
export const isFailed = (lease: object): boolean => failures.has(lease)

/** Throws the reason if there is no lease. */
export const check = (lease: unknown): void => {
  const failure = Predicate.isObject(lease) ? failures.get(lease) : undefined
  if (failure !== undefined) throw failure.error
}

/** What is known of the lease. */
export const observationOf = (lease: unknown): Observation.Observation | undefined =>
  Predicate.isObject(lease) ? observations.get(lease) : undefined

/** Rejected when the lease is lost. */
export const lost = (lease: unknown): Promise<never> =>
  (Predicate.isObject(lease) ? losses.get(lease) : undefined) ?? new Promise(() => {})

// internal

const failures = new WeakMap<object, { readonly error: unknown }>()

const observations = new WeakMap<object, Observation.Observation>()

const losses = new WeakMap<object, Promise<never>>()

const failed = (error: unknown): Airflow.Lease => {
  const lease = new Proxy({}, {
    get: (_, name) => {
      // whether it is a promise, or can be printed
      if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined
      throw error
    }
  })
  failures.set(lease, { error })
  return lease as Airflow.Lease
}
