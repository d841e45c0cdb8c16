/**
 * The options of upkeep, and what it reports. Upkeep prepares and releases slots just as leases do, but for no test: it resets deployments
 * ahead of the next test, hibernates idle ones, and deletes what was left behind. It saves time, and nothing depends on it: without upkeep,
 * the next holder does all of it.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Chore } from "./internal/policy/upkeep.js"
import type { Holder } from "./Slot.js"

/**
 * Defaults in brackets.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpkeepOptions {
  /** How long an idle deployment stays awake [0]. */
  readonly hibernateAfter?: Duration.DurationInput | undefined
  /** A deployment is replaced after this many leases [never]. */
  readonly recycleUses?: number | undefined
  /** A deployment is replaced at this age [never]. */
  readonly recycleAge?: Duration.DurationInput | undefined
  /** The pause between two rounds over the pool [10 seconds]. */
  readonly every?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DrainOptions {
  /** How long to wait for holders. */
  readonly timeout: Duration.DurationInput
  /** Called after every round, with what it did and what is left. */
  readonly onReport?: ((report: Report) => Effect.Effect<void>) | undefined
  /** Called before each wait after which the pool is inspected once more. */
  readonly onPause?: ((wait: Duration.Duration) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ReaperOptions {
  /** The pause between two looks at the ledger [10 seconds]. */
  readonly every?: Duration.DurationInput | undefined
  /** Called after every round, with what it did and what is left. */
  readonly onReport?: ((report: Report) => Effect.Effect<void>) | undefined
}

/**
 * Why a reaper ended: nothing is left to do; another process of this machine does the same; its credentials do not allow what is left to
 * do; or the pool has been idle for a day, and what is left could not be done.
 *
 * @since 0.1.0
 * @category models
 */
export type ReaperEnd = "done" | "replaced" | "refused" | "gave up"

/**
 * What was done for one slot, or why it was left alone.
 *
 * @since 0.1.0
 * @category models
 */
export interface Action {
  readonly slot: number
  readonly deployment: string
  readonly did: Chore | "left alone"
  /** Why it was left alone; empty otherwise. */
  readonly detail: string
}

/**
 * The end of a hold that an administrator has ended, and what was done for the slot then.
 *
 * @since 0.1.0
 * @category models
 */
export interface Released {
  readonly slot: number
  /** The deployment in it; `null`: none. */
  readonly deployment: string | null
  /** What held it. */
  readonly holder: Holder
  readonly actions: ReadonlyArray<Action>
  /** Why nothing was done: until then, in milliseconds of the ledger's time, requests of the former holder may land. */
  readonly busyUntil: number | null
}

/**
 * A deployment that was emptied on request.
 *
 * @since 0.1.0
 * @category models
 */
export interface Emptied {
  readonly slot: number
  /** Another one than before, if that could not be emptied. */
  readonly deployment: string
  /** The pool keeps it awake for a run. */
  readonly isAwake: boolean
}

/**
 * What was done, and what is left.
 *
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly actions: ReadonlyArray<Action>
  /** Slots that have a holder. */
  readonly held: ReadonlyArray<{
    readonly slot: number
    readonly kind: "lease" | "upkeep"
    readonly label: string
    readonly activity: string
  }>
  /** Names of the pool's deployments without a holder that are, or may be, awake. */
  readonly awake: ReadonlyArray<string>
  /** Names of the pool's deployments without a holder for which tokens of the pool are, or may be, valid. */
  readonly tokens: ReadonlyArray<string>
}
