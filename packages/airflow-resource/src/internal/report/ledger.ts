/** The leases of a pool, from the events of its ledger. */
import type { PoolEvent, Slot } from "@airflow-resource/core/Slot"
import { oneLine } from "../text.js"
import type { LeaseRecord, Outcome } from "./model.js"
import * as Timeline from "./timeline.js"

export const leases = (
  { events, now, slots }: {
    readonly events: ReadonlyArray<PoolEvent>
    readonly now: number
    readonly slots: ReadonlyArray<Slot>
  }
): ReadonlyArray<LeaseRecord> => {
  const byLease = new Map<string, Array<PoolEvent>>()
  for (const event of events) {
    if (event.leaseId === null) continue
    const known = byLease.get(event.leaseId)
    if (known !== undefined) known.push(event)
    // upkeep is never queued, and of an older lease the beginning is forgotten
    else if (event.kind === "queued") byLease.set(event.leaseId, [event])
  }
  return Array.from(byLease.values(), (own) => leaseOf(own, slots, now))
}

// internal

const leaseOf = (
  events: ReadonlyArray<PoolEvent>,
  slots: ReadonlyArray<Slot>,
  now: number
): LeaseRecord => {
  const [queued] = events
  const ending = events.filter(({ kind }) => ends.has(kind)).at(-1)
  const end = ending?.at ?? now
  const marks: Array<Timeline.Mark> = []
  for (const { at, detail, kind } of events) {
    const before = marks.at(-1)?.stage ?? "waiting"
    const stage = kind === "granted"
      ? "filling"
      : kind === "queued" || kind === "returned"
      ? "waiting"
      : kind === "step"
      ? Timeline.stageOf(detail, before)
      : before
    if (at <= end) marks.push({ at, stage })
  }
  const granted = events.filter(({ kind }) => kind === "granted").at(-1)
  const wasReady = marks.some(({ stage }) => stage === "using")
  const activities = events.flatMap(({ detail, kind }) => kind === "step" ? [detail] : [])
  const reused = Timeline.reusedBy(activities)
  const slot = slots.find(({ number }) => number === granted?.slot)
  return {
    leaseId: queued!.leaseId,
    test: oneLine(queued!.detail),
    slot: granted?.slot ?? null,
    // an earlier deployment of the slot is forgotten
    deployment: slot !== undefined && (slot.filledAt ?? Infinity) <= end ? slot.name : null,
    reused: wasReady ? reused : null,
    phases: Timeline.phases(marks, end, reused),
    outcome: outcomeOf(ending, wasReady),
    passed: null,
    problem: problemOf(events, ending)
  }
}

const ends = new Set<PoolEvent["kind"]>(["withdrawn", "lapsed", "expired", "handed over", "left to upkeep", "freed"])

const outcomeOf = (ending: PoolEvent | undefined, wasReady: boolean): Outcome =>
  ending === undefined ? "open" : !wasReady ? "no Airflow" : ending.kind === "expired" ? "lost" : "released"

const problemOf = (events: ReadonlyArray<PoolEvent>, ending: PoolEvent | undefined): string | null => {
  const unfinished = events.find(({ kind }) => kind === "unfinished")
  const failed = events.find(({ kind }) => kind === "quarantined")
  if (ending?.kind === "expired") return oneLine(ending.detail)
  if (ending?.kind === "withdrawn") return "gave up waiting"
  if (ending?.kind === "lapsed") return "its process ended while it waited"
  return unfinished === undefined ? failed === undefined ? null : oneLine(failed.detail) : oneLine(unfinished.detail)
}
