/**
 * The life of a deployment as a pure function of what was asked for and of the time: there is no timer anywhere.
 *
 * Whoever asks for a status gets the phase that `now` falls into. A step that has begun is finished before the
 * deployment turns round, and the last wish wins, as on Astro.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * @since 0.1.0
 * @category models
 */
export type Status = "CREATING" | "DEPLOYING" | "HEALTHY" | "UNHEALTHY" | "UNKNOWN" | "HIBERNATING"

/**
 * How long things take on Astro; the emulator divides all of it by its speed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Durations {
  /** From the request to `HEALTHY`. */
  readonly create: Duration.DurationInput
  /** From `HEALTHY` until Airflow itself answers. */
  readonly readyAfterHealthy: Duration.DurationInput
  /** From the request to `HIBERNATING`; the deployment is `HEALTHY` until then. */
  readonly hibernate: Duration.DurationInput
  /** From the request to `HEALTHY`. */
  readonly wake: Duration.DurationInput
  /** The part of `wake` at its start that still reads `HIBERNATING`; the rest reads `DEPLOYING`. */
  readonly wakeHibernating: Duration.DurationInput
  /** A change of the configuration that restarts Airflow: `DEPLOYING` for this long. */
  readonly update: Duration.DurationInput
  /** A deploy of DAGs: `DEPLOYING` for this long, while Airflow goes on. */
  readonly deploy: Duration.DurationInput
  /** How long a deleted token is still accepted. */
  readonly tokenRevocation: Duration.DurationInput
  /** From the trigger, or from unpausing, to the start of a run. */
  readonly schedule: Duration.DurationInput
  /** From a deploy until Airflow knows the new DAGs. */
  readonly parse: Duration.DurationInput
  /** How often every file is parsed again, which brings back a DAG that was deleted while its file stayed. */
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
 * {@link Durations} in milliseconds, speed applied.
 *
 * @since 0.1.0
 * @category models
 */
export type Timings = { readonly [K in keyof Durations]: number }

/**
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
 * A hibernation override as it was posted; `isHibernating` is `null` once it was removed.
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
 * All that decides the status, in epoch milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  readonly createdAt: number
  /** The creation never comes to an end. */
  readonly neverHealthy: boolean
  readonly overrides: ReadonlyArray<Override>
  /** When a change restarted Airflow. */
  readonly updates: ReadonlyArray<number>
  /** When DAGs were deployed. */
  readonly deploys: ReadonlyArray<number>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Phase {
  readonly from: number
  readonly status: Status
  /** When the deployment became healthy whose Airflow still runs; `null` where there is none. */
  readonly up: number | null
}

/**
 * Every phase these facts lead to, those to come included. What starts is `UNHEALTHY` and `UNKNOWN` for a `blip` each before it is
 * `HEALTHY`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const timeline = (facts: Facts, timing: Timings, blip = 0): ReadonlyArray<Phase> => {
  const phases: Array<Phase> = [{ from: facts.createdAt, status: "CREATING", up: null }]
  if (facts.neverHealthy) return phases
  const wishes = toWishes(facts.overrides)
  let settledAt = facts.createdAt
  let up = 0
  let asleep = false
  const start = (duration: number) => {
    const ill = settledAt + duration
    settledAt = ill + 2 * blip
    up = settledAt
    if (blip > 0) {
      phases.push({ from: ill, status: "UNHEALTHY", up: null }, { from: ill + blip, status: "UNKNOWN", up: null })
    }
    phases.push({ from: settledAt, status: "HEALTHY", up })
  }
  const next = (times: ReadonlyArray<number>) => asleep ? Infinity : times.find((at) => at > settledAt) ?? Infinity
  start(timing.create)
  for (;;) {
    const turn = firstWish(wishes, settledAt, !asleep)
    const update = next(facts.updates)
    const deploy = next(facts.deploys)
    if (deploy < Math.min(update, turn)) {
      settledAt = deploy + timing.deploy
      phases.push({ from: deploy, status: "DEPLOYING", up }, { from: settledAt, status: "HEALTHY", up })
    } else if (update < turn) {
      settledAt = update + timing.update
      up = settledAt
      phases.push({ from: update, status: "DEPLOYING", up: null }, { from: settledAt, status: "HEALTHY", up })
    } else if (turn === Infinity) {
      return phases
    } else if (asleep) {
      settledAt = turn
      phases.push({ from: turn + Math.min(timing.wakeHibernating, timing.wake), status: "DEPLOYING", up: null })
      start(timing.wake)
      asleep = false
    } else {
      settledAt = turn + timing.hibernate
      phases.push({ from: settledAt, status: "HIBERNATING", up: null })
      asleep = true
    }
  }
}

/**
 * The phase that `now` falls into.
 *
 * @since 0.1.0
 * @category accessors
 */
export const phaseAt = (phases: ReadonlyArray<Phase>, now: number): Phase =>
  phases.filter((phase) => phase.from <= now).at(-1) ?? { from: now, status: "CREATING", up: null }

/**
 * Whether Airflow answers: some time after the deployment has become healthy.
 *
 * @since 0.1.0
 * @category accessors
 */
export const airflowAnswers = (phases: ReadonlyArray<Phase>, timing: Timings, now: number): boolean => {
  const { up } = phaseAt(phases, now)
  return up !== null && now >= up + timing.readyAfterHealthy
}

/**
 * The earliest moment from `from` on at which Airflow's scheduler is at work; `Infinity` if there is none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const schedulerUp = (phases: ReadonlyArray<Phase>, from: number): number => {
  if (phaseAt(phases, from).up !== null) return from
  return phases.find((phase) => phase.from > from && phase.up !== null)?.from ?? Infinity
}

/**
 * The override in force, `null` if there is none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const overrideAt = (facts: Facts, now: number): Override | null => {
  const last = facts.overrides.filter((override) => override.at <= now).at(-1)
  return last === undefined || last.isHibernating === null || (last.until !== null && last.until <= now) ? null : last
}

/** What is wanted from when on: an override's end is a wish to be awake, since there are no schedules. */
const toWishes = (overrides: ReadonlyArray<Override>): ReadonlyArray<{ at: number; asleep: boolean }> => {
  const wishes = overrides.flatMap(({ at, isHibernating, until }, index) => {
    const next = overrides[index + 1]?.at ?? Infinity
    const wish = { at, asleep: isHibernating === true }
    return until !== null && until < next ? [wish, { at: Math.max(until, at), asleep: false }] : [wish]
  })
  return wishes.filter((wish, index) => wishes[index + 1]?.at !== wish.at)
}

const firstWish = (
  wishes: ReadonlyArray<{ at: number; asleep: boolean }>,
  from: number,
  asleep: boolean
): number => {
  const current = wishes.filter((wish) => wish.at <= from).at(-1)?.asleep ?? false
  if (current === asleep) return from
  return wishes.find((wish) => wish.at > from && wish.asleep === asleep)?.at ?? Infinity
}
