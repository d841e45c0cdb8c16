/**
 * What upkeep does for a slot, decided as everything in the pool is: by a pure function of the ledger and the time.
 *
 * @since 0.1.0
 */
import type { PoolRules } from "./PoolPolicy.js"
import type { Slot } from "./Slot.js"

/**
 * What upkeep can do for a slot.
 *
 * @since 0.1.0
 * @category models
 */
export type Chore = "hibernate" | "reset" | "recycle" | "delete" | "remove older"

/**
 * When upkeep does what. Times are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpkeepRules {
  /** How long a deployment that nobody uses stays awake. */
  readonly hibernateAfter: number
  /** Empties what is awake ahead of its next lease. */
  readonly resetAhead: boolean
  /** Deletes what is more than the pool may have (counterexample 11). */
  readonly shrink: boolean
  /** When a deployment is replaced by a new one: after so many holders, or at that age. */
  readonly recycle: { readonly uses?: number | undefined; readonly age?: number | undefined }
}

/**
 * What upkeep has to do for a slot, by the ledger alone.
 *
 * @since 0.1.0
 * @category combinators
 */
export const chore = (
  slot: Slot,
  slots: ReadonlyArray<Slot>,
  rules: PoolRules,
  now: number,
  { hibernateAfter, recycle, resetAhead, shrink }: UpkeepRules
): Chore | undefined => {
  if (slot.name === null || slot.holder !== null || (slot.busyUntil ?? 0) > now) return undefined
  const isUsable = slot.quarantine === null || slot.quarantine.until <= now
  if (shrink && surplus(slots, rules).includes(slot)) return "delete"
  const isWornOut = slot.uses >= (recycle.uses ?? Infinity) || (slot.filledAt ?? now) + (recycle.age ?? Infinity) <= now
  if (isWornOut && isUsable && !slot.adopted) return "recycle"
  if (slot.power === "asleep") return undefined
  if ((slot.freedAt ?? 0) + hibernateAfter <= now) return "hibernate"
  return resetAhead && isUsable && slot.power === "awake" && !slot.clean ? "reset" : undefined
}

// internal

/** The free ones with the highest numbers. */
const surplus = (slots: ReadonlyArray<Slot>, { max }: PoolRules) =>
  slots.filter(({ holder, name }) => name !== null && holder === null)
    .sort((a, b) => b.number - a.number)
    .slice(0, Math.max(0, slots.filter(({ holder, name }) => name !== null || holder !== null).length - max))
