/** The sums of a report. */
import type { LeaseRecord, PhaseName, Saved, Totals } from "./model.js"

export const millisIn = ({ phases }: Pick<LeaseRecord, "phases">, ...names: ReadonlyArray<PhaseName>): number =>
  phases.reduce((sum, { from, name, to }) => names.includes(name) ? sum + to - from : sum, 0)

/** While a lease has a deployment to itself. */
export const holding = ["creating", "waking", "resetting", "delivering", "using", "releasing"] as const

export const of = (leases: ReadonlyArray<LeaseRecord>, typicalCreation: number | undefined): Totals => {
  const count = (is: (lease: LeaseRecord) => boolean) => leases.filter(is).length
  const sum = (...names: ReadonlyArray<PhaseName>) =>
    leases.reduce((millis, lease) => millis + millisIn(lease, ...names), 0)
  return {
    leases: leases.length,
    created: count(({ reused }) => reused === "created"),
    woken: count(({ reused }) => reused === "woken"),
    awake: count(({ reused }) => reused === "awake"),
    lost: count(({ outcome }) => outcome === "lost"),
    withoutAirflow: count(({ outcome }) => outcome === "no Airflow"),
    deployments: new Set(leases.flatMap(({ deployment, slot }) => deployment ?? slot ?? [])).size,
    waited: sum("waiting"),
    filled: sum("creating", "waking"),
    reset: sum("resetting"),
    delivered: sum("delivering"),
    used: sum("using"),
    released: sum("releasing"),
    held: sum(...holding),
    saved: savedBy(leases, typicalCreation)
  }
}

// internal

/** Compares all that it took until a deployment could be used: a new one is verified too. */
const savedBy = (leases: ReadonlyArray<LeaseRecord>, typicalCreation: number | undefined): Saved | null => {
  const spentOn = (those: ReadonlyArray<LeaseRecord>) =>
    those.reduce((sum, lease) => sum + millisIn(lease, "creating", "waking", "resetting"), 0)
  const created = leases.filter(({ reused }) => reused === "created")
  const others = leases.filter(({ reused }) => reused === "woken" || reused === "awake")
  const creation = created.length === 0 ? typicalCreation : spentOn(created) / created.length
  if (creation === undefined || others.length === 0) return null
  return {
    millis: Math.max(0, creation * others.length - spentOn(others)),
    creation,
    basis: created.length === 0 ? "typical" : "measured"
  }
}
