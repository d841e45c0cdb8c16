/**
 * The lifecycle of a deployment as a pure function of requests and time; there are no timers.
 *
 * The status of a deployment is the phase that contains `now`. As on Astro, a step that has begun is finished before
 * the next one starts, and the latest request wins.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * As Astro spells it.
 *
 * @since 0.1.0
 * @category models
 */
export type Status = "CREATING" | "DEPLOYING" | "HEALTHY" | "UNHEALTHY" | "UNKNOWN" | "HIBERNATING"

/**
 * How long things take on Astro. The emulator divides all of them by its speed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Durations {
  /** From the request to `HEALTHY`. */
  readonly create: Duration.DurationInput
  /** From `HEALTHY` until Airflow responds. */
  readonly readyAfterHealthy: Duration.DurationInput
  /** From the request to `HIBERNATING`; the deployment is `HEALTHY` until then. */
  readonly hibernate: Duration.DurationInput
  /** From the request to `HEALTHY`. */
  readonly wake: Duration.DurationInput
  /** The first part of `wake`, which is still `HIBERNATING`. The rest is `DEPLOYING`. */
  readonly wakeHibernating: Duration.DurationInput
  /** How long the deployment is `DEPLOYING` after a change of its configuration that restarts Airflow. */
  readonly update: Duration.DurationInput
  /** How long the deployment is `DEPLOYING` after a deploy of DAGs, while Airflow keeps running. */
  readonly deploy: Duration.DurationInput
  /** How long a deleted token is still accepted. */
  readonly tokenRevocation: Duration.DurationInput
  /** From the trigger, or from unpausing, to the start of a run. */
  readonly schedule: Duration.DurationInput
  /** From a deploy until Airflow knows the new DAGs. */
  readonly parse: Duration.DurationInput
  /** The interval at which every file is parsed again, which restores a deleted DAG whose file still exists. */
  readonly reparse: Duration.DurationInput
}

/**
 * @since 0.1.0
 * @category models
 */
export const defaultDurations: Durations = {
  create: "180 seconds",
  readyAfterHealthy: "20 seconds",
  hibernate: "45 seconds",
  wake: "75 seconds",
  wakeHibernating: "10 seconds",
  update: "30 seconds",
  deploy: "45 seconds",
  tokenRevocation: 0,
  schedule: "1 second",
  parse: 0,
  reparse: "30 seconds"
}

/**
 * {@link Durations} in milliseconds, with the speed applied.
 *
 * @since 0.1.0
 * @category models
 */
export type Timings = { readonly [K in keyof Durations]: number }

/**
 * Applies the defaults and the emulator's speed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const timings = (durations: Partial<Durations>, speed: number): Timings => {
  const all = { ...defaultDurations, ...durations }
  const scaled = (input: Duration.DurationInput) => Duration.toMillis(input) / speed
  return {
    create: scaled(all.create),
    readyAfterHealthy: scaled(all.readyAfterHealthy),
    hibernate: scaled(all.hibernate),
    wake: scaled(all.wake),
    wakeHibernating: scaled(all.wakeHibernating),
    update: scaled(all.update),
    deploy: scaled(all.deploy),
    tokenRevocation: scaled(all.tokenRevocation),
    schedule: scaled(all.schedule),
    parse: scaled(all.parse),
    reparse: scaled(all.reparse)
  }
}

/**
 * A hibernation override as it was sent. `isHibernating` is `null` if the request deleted the override.
 *
 * @since 0.1.0
 * @category models
 */
export interface Override {
  readonly at: number
  readonly isHibernating: boolean | null
  readonly until: number | null
}

/**
 * Everything that decides the status. Times are epoch milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  readonly createdAt: number
  /** The deployment stays `CREATING` for ever. */
  readonly neverHealthy: boolean
  readonly overrides: ReadonlyArray<Override>
  /** When a change restarted Airflow. */
  readonly updates: ReadonlyArray<number>
  /** When DAGs were deployed. */
  readonly deploys: ReadonlyArray<number>
}

/**
 * A status, from this time until the next phase.
 *
 * @since 0.1.0
 * @category models
 */
export interface Phase {
  readonly from: number
  readonly status: Status
  /** When the Airflow that runs in this phase was started by a deployment becoming healthy; `null` if none runs. */
  readonly up: number | null
}

/**
 * Returns every phase that these facts lead to, future ones included. After a creation and after a wake, the deployment
 * is `UNHEALTHY` and then `UNKNOWN`, for `blip` milliseconds each, before it is `HEALTHY`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const timeline = (facts: Facts, timing: Timings, blip = 0): ReadonlyArray<Phase> => {
  const phases: Array<Phase> = [{ from: facts.createdAt, status: "CREATING", up: null }]
  if (facts.neverHealthy) return phases
  const targets = targetsOf(facts.overrides)
  let settledAt = facts.createdAt
  let up = 0
  let isHibernating = false
  const start = (duration: number) => {
    const startedAt = settledAt + duration
    settledAt = startedAt + 2 * blip
    up = settledAt
    if (blip > 0) {
      phases.push(
        { from: startedAt, status: "UNHEALTHY", up: null },
        { from: startedAt + blip, status: "UNKNOWN", up: null }
      )
    }
    phases.push({ from: settledAt, status: "HEALTHY", up })
  }
  /** While the deployment hibernates, updates and deploys have no effect of their own: the next wake applies them. */
  const nextWhileAwake = (times: ReadonlyArray<number>) =>
    isHibernating ? Infinity : times.find((at) => at > settledAt) ?? Infinity
  start(timing.create)
  for (;;) {
    const turn = nextTarget(targets, settledAt, !isHibernating)
    const update = nextWhileAwake(facts.updates)
    const deploy = nextWhileAwake(facts.deploys)
    if (deploy < Math.min(update, turn)) {
      settledAt = deploy + timing.deploy
      phases.push({ from: deploy, status: "DEPLOYING", up }, { from: settledAt, status: "HEALTHY", up })
    } else if (update < turn) {
      settledAt = update + timing.update
      up = settledAt
      phases.push({ from: update, status: "DEPLOYING", up: null }, { from: settledAt, status: "HEALTHY", up })
    } else if (turn === Infinity) {
      return phases
    } else if (isHibernating) {
      settledAt = turn
      phases.push({ from: turn + Math.min(timing.wakeHibernating, timing.wake), status: "DEPLOYING", up: null })
      start(timing.wake)
      isHibernating = false
    } else {
      settledAt = turn + timing.hibernate
      phases.push({ from: settledAt, status: "HIBERNATING", up: null })
      isHibernating = true
    }
  }
}

/**
 * Returns the phase that contains `now`.
 *
 * @since 0.1.0
 * @category accessors
 */
export const phaseAt = (phases: ReadonlyArray<Phase>, now: number): Phase =>
  phases.filter((phase) => phase.from <= now).at(-1) ?? { from: now, status: "CREATING", up: null }

/**
 * Whether Airflow responds, which it does some time after the deployment has become healthy.
 *
 * @since 0.1.0
 * @category accessors
 */
export const airflowResponds = (phases: ReadonlyArray<Phase>, timing: Timings, now: number): boolean => {
  const { up } = phaseAt(phases, now)
  return up !== null && now >= up + timing.readyAfterHealthy
}

/**
 * Returns the earliest time, not before `from`, at which Airflow's scheduler runs; `Infinity` if there is none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const schedulerUp = (phases: ReadonlyArray<Phase>, from: number): number => {
  if (phaseAt(phases, from).up !== null) return from
  return phases.find((phase) => phase.from > from && phase.up !== null)?.from ?? Infinity
}

/**
 * Returns the override that is in force; `null` if there is none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const overrideAt = (facts: Facts, now: number): Override | null => {
  const last = facts.overrides.filter((override) => override.at <= now).at(-1)
  return last === undefined || last.isHibernating === null || (last.until !== null && last.until <= now) ? null : last
}

// internal

/** What the deployment is to become, from this time until the next target. */
interface Target {
  readonly at: number
  readonly isHibernating: boolean
}

/** Since schedules are not applied, the end of an override is a target to be awake. */
const targetsOf = (overrides: ReadonlyArray<Override>): ReadonlyArray<Target> => {
  const targets = overrides.flatMap(({ at, isHibernating, until }, index) => {
    const next = overrides[index + 1]?.at ?? Infinity
    const target = { at, isHibernating: isHibernating === true }
    return until !== null && until < next ? [target, { at: Math.max(until, at), isHibernating: false }] : [target]
  })
  return targets.filter((target, index) => targets[index + 1]?.at !== target.at)
}

/** The earliest time, not before `from`, at which the target is this one; `Infinity` if it never is. */
const nextTarget = (targets: ReadonlyArray<Target>, from: number, isHibernating: boolean): number => {
  const current = targets.filter((target) => target.at <= from).at(-1)?.isHibernating ?? false
  if (current === isHibernating) return from
  return targets.find((target) => target.at > from && target.isHibernating === isHibernating)?.at ?? Infinity
}
