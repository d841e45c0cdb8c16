/** Corrects the ledger to match what the cloud has. */
import type { Deployment, DeploymentId } from "../../Deployment.js"
import type { Slot } from "../../Slot.js"
import type { Change, CloudDeployments, Ledger, PoolRules } from "./model.js"
import { emptySlot, event, isBusy, isFilled, isTakenBack, nextSlot, putSlot } from "./slots.js"

/**
 * Adds deployments that this ledger does not know (its predecessor was lost, another machine created them, or they are adopted), and
 * corrects the power of those in free slots.
 */
export const reconcile = (ledger: Ledger, rules: PoolRules, now: number, cloud: CloudDeployments): Change<void> => {
  const corrected = ledger.slots.map((slot) => takeBack(slot, cloud, now) ?? correct(slot, cloud, now))
  const added: Array<Slot> = []
  const add = (slot: Slot, deployment: Deployment) =>
    void added.push({
      ...slot,
      name: deployment.name,
      deploymentId: deployment.id,
      spec: deployment.spec,
      power: deployment.hibernationRequested ? "unknown" : "awake",
      clean: false,
      // its last holder may have revoked a token a moment ago (counterexample 8)
      revokedAt: now,
      uses: 0,
      filledAt: now
    })
  const slotOf = (number: number) => [...added, ...corrected].find((slot) => slot.number === number)
  const isKnown = (id: DeploymentId) => [...added, ...corrected].some((slot) => slot.deploymentId === id)

  for (const { deployment, generation, slot } of [...cloud.own].sort((a, b) => b.generation - a.generation)) {
    const place = slotOf(slot) ?? emptySlot(slot)
    // another ledger has replaced the deployment that this one knows, which is now an older generation
    const isReplaced = place.holder === null && !isBusy(place, now) && !place.adopted && generation > place.generation
    if (isReplaced || (isVacant(place, now) && generation >= place.generation)) {
      add({ ...place, generation }, deployment)
    }
  }
  for (const deployment of cloud.adoptable) {
    const slots = [...added, ...corrected.filter((slot) => !added.some(({ number }) => number === slot.number))]
    if (isKnown(deployment.id) || slots.filter(isFilled).length >= rules.max) continue
    const slot = slots.find((slot) => isVacant(slot, now)) ?? nextSlot(slots)
    add({ ...slot, adopted: { overrideUntil: deployment.overrideUntil ?? null } }, deployment)
  }
  const changed = [...corrected.filter((slot, index) => slot !== ledger.slots[index]), ...added]
  return {
    value: undefined,
    ledger: changed.reduce(putSlot, ledger),
    events: added.map((slot) => event(now, "discovered", slot, null, slot.name ?? ""))
  }
}

// internal

const deploymentOf = ({ deploymentId }: Slot, { all }: CloudDeployments) => all.find(({ id }) => id === deploymentId)

/** Clears an adopted deployment from its slot once its schedules apply again and no token of the pool is left. */
const takeBack = (slot: Slot, cloud: CloudDeployments, now: number): Slot | undefined =>
  slot.holder === null && !isBusy(slot, now) && slot.power === "asleep" && !slot.tokens.mayExist &&
    isTakenBack(slot, now) && deploymentOf(slot, cloud)?.hibernationRequested === false
    ? { ...slot, name: null, deploymentId: null, spec: null, power: "unknown", clean: false, adopted: null }
    : undefined

/** Corrects the power of a slot; and when its adopted deployment's hibernation ends, because its user may change that. */
const correct = (slot: Slot, cloud: CloudDeployments, now: number): Slot => {
  const deployment = deploymentOf(slot, cloud)
  if (slot.holder !== null || isBusy(slot, now) || deployment === undefined) return slot
  if (slot.adopted !== null && slot.power === "asleep") {
    const overrideUntil = deployment.overrideUntil ?? null
    if (deployment.hibernationRequested && overrideUntil !== slot.adopted.overrideUntil) {
      return { ...slot, adopted: { overrideUntil } }
    }
    // it is its user's again, and only its tokens are left to be revoked
    if (isTakenBack(slot, now)) return slot
  }
  // only a holder may record "asleep", after it has revoked its tokens; upkeep takes care of slots that are not asleep
  const power = !deployment.hibernationRequested ? "awake" : slot.power === "asleep" ? "asleep" : "unknown"
  return power === slot.power ? slot : { ...slot, power }
}

const isVacant = (slot: Slot, now: number) => !isFilled(slot) && !isBusy(slot, now)
