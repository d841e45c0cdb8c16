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
export type Status = "CREATING" | "DEPLOYING" | "HEALTHY" | "HIBERNATING"

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
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Phase {
  readonly from: number
  readonly status: Status
}

/**
 * Every phase these facts lead to, those to come included.
 *
 * @since 0.1.0
 * @category combinators
 */
export const timeline = (facts: Facts, timing: Timings): ReadonlyArray<Phase> => {
  const phases: Array<Phase> = [{ from: facts.createdAt, status: "CREATING" }]
  if (facts.neverHealthy) return phases
  const wishes = toWishes(facts.overrides)
  let settledAt = facts.createdAt + timing.create
  let asleep = false
  phases.push({ from: settledAt, status: "HEALTHY" })
  for (;;) {
    const turn = firstWish(wishes, settledAt, !asleep)
    const update = asleep ? Infinity : facts.updates.find((at) => at > settledAt) ?? Infinity
    if (update < turn) {
      settledAt = update + timing.update
      phases.push({ from: update, status: "DEPLOYING" }, { from: settledAt, status: "HEALTHY" })
    } else if (turn === Infinity) {
      return phases
    } else if (asleep) {
      settledAt = turn + timing.wake
      phases.push(
        { from: turn + Math.min(timing.wakeHibernating, timing.wake), status: "DEPLOYING" },
        { from: settledAt, status: "HEALTHY" }
      )
      asleep = false
    } else {
      settledAt = turn + timing.hibernate
      phases.push({ from: settledAt, status: "HIBERNATING" })
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
  phases.filter((phase) => phase.from <= now).at(-1) ?? { from: now, status: "CREATING" }

/**
 * Whether Airflow answers: some time after the deployment has become healthy.
 *
 * @since 0.1.0
 * @category accessors
 */
export const airflowAnswers = (phases: ReadonlyArray<Phase>, timing: Timings, now: number): boolean => {
  const phase = phaseAt(phases, now)
  return phase.status === "HEALTHY" && now >= phase.from + timing.readyAfterHealthy
}

/**
 * The earliest moment from `from` on at which Airflow's scheduler is at work; `Infinity` if there is none.
 *
 * @since 0.1.0
 * @category accessors
 */
export const schedulerUp = (phases: ReadonlyArray<Phase>, from: number): number => {
  if (phaseAt(phases, from).status === "HEALTHY") return from
  return phases.find((phase) => phase.from > from && phase.status === "HEALTHY")?.from ?? Infinity
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
