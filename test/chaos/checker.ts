import type { PoolEvent, Slot } from "@airflow-resource/core/Slot"
import type { AuditLog } from "@airflow-resource/emulator"

/** The time in which a process used a lease, as it printed it. Times are of the wall clock. */
export interface Hold {
  readonly deploymentId: string
  readonly slot: number
  readonly epoch: number
  readonly from: number
  /** `null`: the process printed no end, because the lease was lost. The ledger knows when. */
  readonly to: number | null
}

export interface Violation {
  readonly rule: string
  readonly detail: string
}

/** No deployment is held twice at the same time. */
export const doubleHolds = (
  holds: ReadonlyArray<Hold>,
  events: ReadonlyArray<PoolEvent> = []
): ReadonlyArray<Violation> => {
  // a process that was stopped past its deadline believes that it still holds its slot
  const expired = expiries(events)
  const endOf = ({ epoch, slot, to }: Hold) => Math.min(to ?? Infinity, expired.get(`${slot} ${epoch}`) ?? Infinity)
  return holds.flatMap((one, index) =>
    holds.slice(index + 1).flatMap((other) =>
      one.deploymentId === other.deploymentId && one.from < endOf(other) && other.from < endOf(one)
        ? [{ rule: "held twice", detail: `${one.deploymentId} under epochs ${one.epoch} and ${other.epoch}` }]
        : []
    )
  )
}

/** The holds whose process did not notice before their end that they had been lost. */
export const unaware = (holds: ReadonlyArray<Hold>, events: ReadonlyArray<PoolEvent>): ReadonlyArray<Hold> => {
  const expired = expiries(events)
  return holds.filter(({ epoch, slot, to }) => to !== null && to > (expired.get(`${slot} ${epoch}`) ?? Infinity))
}

/** Epochs of a slot grow, each is granted once and after the end of the one before, and a ticket is granted once. */
export const grants = (events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const slots = new Map<number, { readonly epoch: number; readonly isHeld: boolean }>()
  const leases = new Set<string>()
  for (const { epoch, kind, leaseId, slot } of events) {
    if (kind === "returned") leases.delete(leaseId ?? "")
    if (slot === null || epoch === null) continue
    const last = slots.get(slot) ?? { epoch: 0, isHeld: false }
    if (kind === "granted") {
      if (epoch === last.epoch) violations.push({ rule: "epoch granted twice", detail: `slot ${slot}, epoch ${epoch}` })
      if (epoch < last.epoch) {
        violations.push({
          rule: "epoch granted after a newer one",
          detail: `slot ${slot}, ${epoch} after ${last.epoch}`
        })
      }
      if (last.isHeld) violations.push({ rule: "granted while held", detail: `slot ${slot}, epoch ${epoch}` })
      if (leases.has(leaseId ?? "")) violations.push({ rule: "ticket granted twice", detail: String(leaseId) })
      leases.add(leaseId ?? "")
      slots.set(slot, { epoch, isHeld: true })
    } else if (ends.has(kind) && epoch === last.epoch) {
      slots.set(slot, { epoch, isHeld: false })
    }
  }
  return violations
}

/** No ticket is granted while an older ticket for the same spec waits. */
export const inversions = (events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  const tickets = new Map<string, { readonly place: number; readonly spec: string; readonly isWaiting: boolean }>()
  for (const { detail, kind, leaseId } of events) {
    if (leaseId === null) continue
    const ticket = tickets.get(leaseId)
    if (kind === "queued") {
      tickets.set(leaseId, { place: tickets.size, spec: detail, isWaiting: true })
    } else if (ticket !== undefined && kind === "granted") {
      for (const [other, { isWaiting, place, spec }] of tickets) {
        if (isWaiting && spec === ticket.spec && place < ticket.place) {
          violations.push({ rule: "FIFO inversion", detail: `${leaseId} before ${other}` })
        }
      }
    }
    if (ticket !== undefined && (kind === "granted" || kind === "lapsed" || kind === "withdrawn")) {
      tickets.set(leaseId, { ...ticket, isWaiting: false })
    }
    if (ticket !== undefined && kind === "returned") tickets.set(leaseId, { ...ticket, isWaiting: true })
  }
  return violations
}

/** The name of a worker's variable. It tells the writer even if all processes share a token. */
export const variableOf = (slot: number, epoch: number, count: number): string => `chaos_s${slot}_e${epoch}_${count}`

/** The writes that an Airflow accepted and whose lease is known, in their order. */
export const writes = ({ issued, requests }: Pick<AuditLog.Audit, "issued" | "requests">) => {
  const epochs = new Map(issued.flatMap(({ id, name }) => {
    const epoch = /^airflow-resource \S+ \S+ s\d+ e(\d+)$/.exec(name)?.[1]
    return epoch === undefined ? [] : [[id, Number(epoch)] as const]
  }))
  return requests.flatMap(({ at, deploymentId, method, path, status, token }) => {
    const marked = /chaos_s\d+_e(\d+)_/.exec(path)?.[1]
    const epoch = epochs.get(token ?? "") ?? (marked === undefined ? undefined : Number(marked))
    return deploymentId === null || epoch === undefined || method === "GET" || status < 200 || status > 299
      ? []
      // a lease that is ready writes its own variables; a reset deletes those of other leases
      : [{ at, deploymentId, epoch, isOwn: Number(marked) === epoch, what: `${method} ${path}` }]
  })
}

/** No write is accepted after the holder of a newer epoch was ready. */
export const lateWrites = (
  audit: Pick<AuditLog.Audit, "issued" | "requests">,
  holds: ReadonlyArray<Hold>
): ReadonlyArray<Violation> => {
  const violations: Array<Violation> = []
  // a process may be killed after its first write and before it prints a line
  const written = new Map<string, number>()
  for (const { at, deploymentId, epoch, isOwn, what } of writes(audit)) {
    const newest = Math.max(
      written.get(deploymentId) ?? 0,
      ...holds.filter((hold) => hold.deploymentId === deploymentId && hold.from < at).map((hold) => hold.epoch)
    )
    if (epoch < newest) {
      violations.push({ rule: "write out of epoch", detail: `${what} of epoch ${epoch} after ${newest} was ready` })
    }
    if (isOwn) written.set(deploymentId, Math.max(epoch, written.get(deploymentId) ?? 0))
  }
  return violations
}

/** The variables in a ready lease's Airflow that the lease did not write itself. */
export interface Finding {
  readonly slot: number
  readonly epoch: number
  readonly at: number
  readonly keys: ReadonlyArray<string>
}

/** No lease finds variables of another one, unless it has been lost. */
export const dirt = (findings: ReadonlyArray<Finding>, events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const expired = expiries(events)
  return findings.flatMap(({ at, epoch, keys, slot }) =>
    keys.length === 0 || at >= (expired.get(`${slot} ${epoch}`) ?? Infinity)
      ? []
      : [{ rule: "not empty", detail: `slot ${slot}, epoch ${epoch}: ${keys.join(", ")}` }]
  )
}

/** There are never more deployments than the pool may have. */
export const crowds = (states: AuditLog.Audit["states"], max: number): ReadonlyArray<Violation> => {
  const alive = new Set<string>()
  return states.flatMap(({ deploymentId, status }) => {
    const isNew = status !== "DELETED" && !alive.has(deploymentId)
    if (status === "DELETED") alive.delete(deploymentId)
    else alive.add(deploymentId)
    return isNew && alive.size > max
      ? [{ rule: "too many deployments", detail: `${alive.size} exist, ${max} are allowed` }]
      : []
  })
}

/** Nothing is left over after all processes have ended and the pool was drained. */
export const leftovers = (
  { slots, tickets }: {
    readonly slots: ReadonlyArray<Slot>
    readonly tickets: ReadonlyArray<{ readonly key: string }>
  },
  { awake, deployments, tokens }: Pick<AuditLog.Audit, "awake" | "deployments" | "tokens">
): ReadonlyArray<Violation> => {
  const known = new Set<string>(slots.flatMap(({ deploymentId }) => deploymentId ?? []))
  const existing = new Set(deployments.map(({ id }) => id))
  return [
    ...slots.flatMap(({ holder, number }) =>
      holder === null ? [] : [{ rule: "slot not free", detail: `slot ${number}: ${holder.label}` }]
    ),
    ...tickets.map(({ key }) => ({ rule: "ticket left over", detail: key })),
    ...awake.map((name) => ({ rule: "awake", detail: name })),
    ...tokens.map(({ name }) => ({ rule: "token left over", detail: name })),
    ...deployments.flatMap(({ id, name }) =>
      known.has(id) ? [] : [{ rule: "deployment not in the ledger", detail: name }]
    ),
    ...slots.flatMap(({ deploymentId, number }) =>
      deploymentId === null || existing.has(deploymentId)
        ? []
        : [{ rule: "deployment does not exist", detail: `slot ${number}: ${deploymentId}` }]
    )
  ]
}

export interface History {
  readonly max: number
  readonly events: ReadonlyArray<PoolEvent>
  readonly holds: ReadonlyArray<Hold>
  readonly findings: ReadonlyArray<Finding>
  readonly audit: AuditLog.Audit
}

/** What every history must satisfy, whether or not it has ended. */
export const safety = ({ audit, events, findings, holds, max }: History): ReadonlyArray<Violation> => [
  ...doubleHolds(holds, events),
  ...grants(events),
  ...inversions(events),
  ...lateWrites(audit, holds),
  ...dirt(findings, events),
  ...crowds(audit.states, max)
]

// internal

const expiries = (events: ReadonlyArray<PoolEvent>): ReadonlyMap<string, number> =>
  new Map(events.flatMap(({ at, epoch, kind, slot }) => kind === "expired" ? [[`${slot} ${epoch}`, at]] : []))

const ends = new Set<PoolEvent["kind"]>(["expired", "freed", "handed over", "left to upkeep", "returned"])
