/** The phases of a lease, from the steps that it reported: the ledger has them as events, a test as its progress. */
import type { Phase, PhaseName, Reused } from "./model.js"

/** A moment at which a lease may have entered another phase. */
export interface Mark {
  readonly at: number
  readonly stage: Stage
}

/** As a phase, but what filling the slot was is known only afterwards: it created a deployment, woke one, or found one awake. */
export type Stage = Exclude<PhaseName, "creating" | "waking"> | "filling"

/** The stage that a step begins, or the one before, if the step belongs to that. */
export const stageOf = (activity: string, before: Stage): Stage =>
  stages.find(([, begins]) => begins.test(activity))?.[0] ?? (before === "waiting" ? "filling" : before)

/** What the steps say about where the deployment came from. */
export const reusedBy = (activities: ReadonlyArray<string>): Reused =>
  activities.includes("creating") ? "created" : activities.includes("waking") ? "woken" : "awake"

/** Phases without gaps, from the first mark to `end`. */
export const phases = (marks: ReadonlyArray<Mark>, end: number, reused: Reused): ReadonlyArray<Phase> => {
  const found: Array<Phase> = []
  for (const [index, mark] of marks.entries()) {
    const { at } = mark
    // the pool has granted its use by then, but not to the test
    const stage = mark.stage === "using" && marks[index + 1]?.stage === "delivering" ? "delivering" : mark.stage
    const name = stage === "filling" ? filling[reused] : stage
    const to = Math.max(at, marks[index + 1]?.at ?? end)
    const last = found.at(-1)
    if (last?.name === name) found[found.length - 1] = { ...last, to }
    else found.push({ name, from: at, to })
  }
  return found.filter(({ from, to }) => to > from)
}

// internal

const stages: ReadonlyArray<readonly [Stage, RegExp]> = [
  ["filling", /^(creating$|waking$|replacing )/],
  ["resetting", /^(verifying that it is empty|resetting)$/],
  ["delivering", /^delivering /],
  ["using", /^(in use|ready)$/],
  ["releasing", /^(pausing DAGs|hibernating|giving it back to its schedules)$/]
]

/** A deployment that is awake only has to be reached before it is verified. */
const filling: Record<Reused, PhaseName> = { created: "creating", woken: "waking", awake: "resetting" }
