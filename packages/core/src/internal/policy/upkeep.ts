/** Decides what upkeep has to do for a slot. */
import type { Slot } from "../../Slot.js"
import type { PoolRules } from "./model.js"
import { isBusy, isFilled } from "./slots.js"

export type Chore = "hibernate" | "reset" | "recycle" | "delete" | "delete older"

/** When upkeep does what. Times are milliseconds. */
export interface UpkeepRules {
  /** How long an idle deployment stays awake. */
  readonly hibernateAfter: number
  /** Empties awake deployments ahead of their next lease. */
  readonly resetAhead: boolean
  /** Deletes deployments above the pool's maximum (counterexample 11). */
  readonly shrink: boolean
  /** When a deployment is replaced: after this many leases, or at this age. */
  readonly recycle: { readonly uses?: number | undefined; readonly age?: number | undefined }
}

/** Decides from the ledger alone; the cloud may show that there is more to do. */
export const chore = (
  slot: Slot,
  slots: ReadonlyArray<Slot>,
  rules: PoolRules,
  now: number,
  { hibernateAfter, recycle, resetAhead, shrink }: UpkeepRules
): Chore | undefined => {
  if (slot.name === null || slot.holder !== null || isBusy(slot, now)) return undefined
  const isUsable = slot.quarantine === null || slot.quarantine.until <= now
  if (shrink && surplus(slots, rules).includes(slot)) return "delete"
  const isWornOut = slot.uses >= (recycle.uses ?? Infinity) || (slot.filledAt ?? now) + (recycle.age ?? Infinity) <= now
  if (isWornOut && isUsable && !slot.adopted) return "recycle"
  if (slot.power === "asleep") return undefined
  if ((slot.freedAt ?? 0) + hibernateAfter <= now) return "hibernate"
  return resetAhead && isUsable && slot.power === "awake" && !slot.clean ? "reset" : undefined
}

// internal

/** By how many slots the pool exceeds its maximum, that many free slots, highest numbers first. */
const surplus = (slots: ReadonlyArray<Slot>, { max }: PoolRules) =>
  slots.filter(({ holder, name }) => name !== null && holder === null)
    .sort((a, b) => b.number - a.number)
    .slice(0, Math.max(0, slots.filter(isFilled).length - max))
