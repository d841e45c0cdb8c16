/** Decides what upkeep has to do for a slot, for which run, and when it may end. */
import * as Host from "../../Host.js"
import type { LockHolder, Run, Slot } from "../../Slot.js"
import type { AppliedRules, Change, Ledger, PoolRules } from "./model.js"
import { isBusy, isFilled, unchanged, waiting } from "./slots.js"

export type Chore = "hibernate" | "reset" | "recycle" | "delete" | "delete older" | "revoke"

/** When upkeep does what. Times are milliseconds. */
export interface UpkeepRules {
  /** How long an idle deployment stays awake. */
  readonly hibernateAfter: number
  /** Empties awake deployments ahead of their next lease. */
  readonly resetAhead: boolean
  /** Deletes deployments above the pool's maximum (counterexample 11). */
  readonly shrink: boolean
  /** When a deployment is replaced: after this many leases, or at this age. `null`: never. */
  readonly recycleUses: number | null
  readonly recycleAge: number | null
}

/** Keeps nothing awake. */
export const once: UpkeepRules = {
  hibernateAfter: 0,
  resetAhead: false,
  shrink: false,
  recycleUses: null,
  recycleAge: null
}

/** Decides from the ledger alone; the cloud may show that there is more to do. */
export const chore = (
  slot: Slot,
  slots: ReadonlyArray<Slot>,
  rules: PoolRules,
  now: number,
  upkeepRules: UpkeepRules
): Chore | undefined => {
  if (slot.holder !== null || isBusy(slot, now)) return undefined
  return choreOfDeployment(slot, slots, rules, now, upkeepRules) ?? (slot.tokens.mayExist ? "revoke" : undefined)
}

/** The upkeep that is active on this machine. A lock whose owner has ended is not held (counterexample 22). */
export const activeUpkeep = (
  { upkeep: { holder } }: Ledger,
  { isGone }: Pick<AppliedRules, "isGone">,
  now: number
): LockHolder | undefined => holder !== null && holder.deadline > now && !isGone(holder.owner) ? holder : undefined

/**
 * The run of this machine that deployments are kept awake for: of several, the one that began last, with the longest time that any of
 * them keeps an unused deployment awake.
 */
export const currentRun = (
  { runs }: Ledger,
  { isGone, machine }: AppliedRules,
  now: number
): Run | undefined => {
  const alive = runs.filter(({ deadline, owner }) =>
    Host.machineOf(owner) === machine && deadline > now && !isGone(owner)
  )
  const last = alive.at(-1)
  return last && { ...last, hibernateAfter: Math.max(...alive.map(({ hibernateAfter }) => hibernateAfter)) }
}

/** What upkeep does for a run. */
export const rulesOf = ({ hibernateAfter, recycleAge, recycleUses }: Run): UpkeepRules => ({
  ...once,
  hibernateAfter,
  resetAhead: true,
  recycleAge,
  recycleUses
})

/**
 * The ledger, as upkeep sees it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outlook {
  readonly now: number
  readonly slots: ReadonlyArray<Slot>
  /** The upkeep that is active on this machine. */
  readonly upkeep: LockHolder | undefined
  /** The run of this machine that deployments are kept awake for. */
  readonly run: Run | undefined
  /** No lease, no ticket and no run is alive. */
  readonly isIdle: boolean
  /** Nothing is left to do, on any machine. */
  readonly isQuiet: boolean
}

export const outlook = (ledger: Ledger, rules: AppliedRules, now: number): Outlook => {
  const run = currentRun(ledger, rules, now)
  return {
    now,
    slots: ledger.slots,
    upkeep: activeUpkeep(ledger, rules, now),
    run,
    isIdle: run === undefined && !hasWaiters(ledger, rules, now) &&
      ledger.slots.every(({ holder }) => holder?.kind !== "lease"),
    isQuiet: isQuiet(ledger, rules, now)
  }
}

/** Whether nothing is left to do, on any machine (counterexamples 19 and 24). */
const isQuiet = (ledger: Ledger, rules: AppliedRules, now: number): boolean =>
  currentRun(ledger, rules, now) === undefined &&
  !hasWaiters(ledger, rules, now) &&
  ledger.slots.every((slot) =>
    slot.holder === null && !isBusy(slot, now) && !slot.tokens.mayExist &&
    (slot.name === null || slot.power === "asleep")
  )

/**
 * Gives up the upkeep lock if it is still held under this epoch, nothing is left to do, and no slot was granted since `seen` was read
 * (counterexample 19).
 */
export const retire = (
  ledger: Ledger,
  rules: AppliedRules,
  now: number,
  lockEpoch: number,
  seen: ReadonlyArray<Slot>
): Change<boolean> => {
  const { upkeep } = ledger
  const isUnchanged = ledger.slots.every(({ epoch, number }) =>
    seen.some((slot) => slot.number === number && slot.epoch === epoch)
  )
  if (upkeep.holder === null || upkeep.epoch !== lockEpoch || !isUnchanged || !isQuiet(ledger, rules, now)) {
    return unchanged(ledger, false)
  }
  return { value: true, ledger: { ...ledger, upkeep: { ...upkeep, holder: null } }, events: [] }
}

// internal

const hasWaiters = (ledger: Ledger, { isGone }: AppliedRules, now: number) =>
  waiting(ledger).some(({ deadline, owner }) => deadline > now && !isGone(owner))

const choreOfDeployment = (
  slot: Slot,
  slots: ReadonlyArray<Slot>,
  rules: PoolRules,
  now: number,
  { hibernateAfter, recycleAge, recycleUses, resetAhead, shrink }: UpkeepRules
): Chore | undefined => {
  if (slot.name === null) return undefined
  const isUsable = slot.quarantine === null || slot.quarantine.until <= now
  if (shrink && surplus(slots, rules).includes(slot)) return "delete"
  const isWornOut = slot.uses >= (recycleUses ?? Infinity) || (slot.filledAt ?? now) + (recycleAge ?? Infinity) <= now
  if (isWornOut && isUsable && slot.adopted === null) return "recycle"
  if (slot.power === "asleep") return undefined
  if ((slot.freedAt ?? 0) + hibernateAfter <= now) return "hibernate"
  return resetAhead && isUsable && slot.power === "awake" && !slot.clean ? "reset" : undefined
}

/** By how many slots the pool exceeds its maximum, that many free slots, highest numbers first. */
const surplus = (slots: ReadonlyArray<Slot>, { max }: PoolRules) =>
  slots.filter(({ holder, name }) => name !== null && holder === null)
    .sort((a, b) => b.number - a.number)
    .slice(0, Math.max(0, slots.filter(isFilled).length - max))
