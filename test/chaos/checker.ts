import type { PoolEvent, Slot } from "@airflow-resource/core/Slot"
import type { AuditLog } from "@airflow-resource/emulator"

/** A lease that was ready, as its process printed it. Times are the wall clock's. */
export interface Hold {
  readonly deploymentId: string
  readonly slot: number
  readonly epoch: number
  readonly from: number
  /** `null`: its end was not printed, for it was lost; the ledger knows when. */
  readonly to: number | null
}

export interface Violation {
  readonly rule: string
  readonly detail: string
}

/** Two holds of one deployment at once. */
export const doubleHolds = (
  holds: ReadonlyArray<Hold>,
  events: ReadonlyArray<PoolEvent> = []
): ReadonlyArray<Violation> => {
  // whoever was paused past its deadline thinks that it holds what others hold by then
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

/** Holds that ended, for their process, as if they had not been lost before. */
export const unaware = (holds: ReadonlyArray<Hold>, events: ReadonlyArray<PoolEvent>): ReadonlyArray<Hold> => {
  const expired = expiries(events)
  return holds.filter(({ epoch, slot, to }) => to !== null && to > (expired.get(`${slot} ${epoch}`) ?? Infinity))
}

/** An epoch of a slot is granted once, after every older one, once its holder has ended; and a ticket once. */
export const grants = (events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  const slots = new Map<number, { readonly epoch: number; readonly isHeld: boolean }>()
  const leases = new Set<string>()
  for (const { epoch, kind, leaseId, slot } of events) {
    if (kind === "returned") leases.delete(leaseId ?? "")
    if (slot === null || epoch === null) continue
    const last = slots.get(slot) ?? { epoch: 0, isHeld: false }
    if (kind === "granted") {
      if (epoch === last.epoch) found.push({ rule: "epoch granted twice", detail: `slot ${slot}, epoch ${epoch}` })
      if (epoch < last.epoch) {
        found.push({ rule: "epoch granted after a newer one", detail: `slot ${slot}, ${epoch} after ${last.epoch}` })
      }
      if (last.isHeld) found.push({ rule: "granted while held", detail: `slot ${slot}, epoch ${epoch}` })
      if (leases.has(leaseId ?? "")) found.push({ rule: "ticket granted twice", detail: String(leaseId) })
      leases.add(leaseId ?? "")
      slots.set(slot, { epoch, isHeld: true })
    } else if (ends.has(kind) && epoch === last.epoch) {
      slots.set(slot, { epoch, isHeld: false })
    }
  }
  return found
}

/** Over all pairs of tickets for the same make: none is granted while an older one waits. */
export const inversions = (events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  const tickets = new Map<string, { readonly place: number; readonly make: string; readonly isWaiting: boolean }>()
  for (const { detail, kind, leaseId } of events) {
    if (leaseId === null) continue
    const ticket = tickets.get(leaseId)
    if (kind === "queued") {
      tickets.set(leaseId, { place: tickets.size, make: detail, isWaiting: true })
    } else if (ticket !== undefined && kind === "granted") {
      for (const [other, { isWaiting, make, place }] of tickets) {
        if (isWaiting && make === ticket.make && place < ticket.place) {
          found.push({ rule: "FIFO inversion", detail: `${leaseId} before ${other}` })
        }
      }
    }
    if (ticket !== undefined && (kind === "granted" || kind === "lapsed" || kind === "withdrawn")) {
      tickets.set(leaseId, { ...ticket, isWaiting: false })
    }
    if (ticket !== undefined && kind === "returned") tickets.set(leaseId, { ...ticket, isWaiting: true })
  }
  return found
}

/** What a worker names its variables: also a write with a token that all share tells whose it is. */
export const variableOf = (slot: number, epoch: number, count: number): string => `chaos_s${slot}_e${epoch}_${count}`

/** Writes that an Airflow accepted, of leases that could be told, in the order in which they came. */
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
      // its own variable is what a lease writes once it is ready; a reset removes those of others
      : [{ at, deploymentId, epoch, isOwn: Number(marked) === epoch, what: `${method} ${path}` }]
  })
}

/** A write is accepted after a holder of a newer epoch was ready. */
export const lateWrites = (
  audit: Pick<AuditLog.Audit, "issued" | "requests">,
  holds: ReadonlyArray<Hold>
): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  // a process may be killed between its first write and its first line
  const written = new Map<string, number>()
  for (const { at, deploymentId, epoch, isOwn, what } of writes(audit)) {
    const newest = Math.max(
      written.get(deploymentId) ?? 0,
      ...holds.filter((hold) => hold.deploymentId === deploymentId && hold.from < at).map((hold) => hold.epoch)
    )
    if (epoch < newest) {
      found.push({ rule: "write out of epoch", detail: `${what} of epoch ${epoch} after ${newest} was ready` })
    }
    if (isOwn) written.set(deploymentId, Math.max(epoch, written.get(deploymentId) ?? 0))
  }
  return found
}

/** What a ready lease saw in its Airflow that it did not put there itself. */
export interface Find {
  readonly slot: number
  readonly epoch: number
  readonly at: number
  readonly keys: ReadonlyArray<string>
}

/** A lease finds something of another one, without having been lost. */
export const dirt = (finds: ReadonlyArray<Find>, events: ReadonlyArray<PoolEvent>): ReadonlyArray<Violation> => {
  const expired = expiries(events)
  return finds.flatMap(({ at, epoch, keys, slot }) =>
    keys.length === 0 || at >= (expired.get(`${slot} ${epoch}`) ?? Infinity)
      ? []
      : [{ rule: "not empty", detail: `slot ${slot}, epoch ${epoch}: ${keys.join(", ")}` }]
  )
}

/** Never more deployments at once than the pool may have. */
export const crowds = (states: AuditLog.Audit["states"], max: number): ReadonlyArray<Violation> => {
  const alive = new Set<string>()
  return states.flatMap(({ deploymentId, status }) => {
    const isNew = status !== "DELETED" && !alive.has(deploymentId)
    if (status === "DELETED") alive.delete(deploymentId)
    else alive.add(deploymentId)
    return isNew && alive.size > max
      ? [{ rule: "too many deployments", detail: `${alive.size} at once, ${max} are allowed` }]
      : []
  })
}

/** What is still there once everybody has ended and the pool was drained. */
export const leftovers = (
  { slots, tickets }: {
    readonly slots: ReadonlyArray<Slot>
    readonly tickets: ReadonlyArray<{ readonly key: string }>
  },
  { awake, deployments, tokens }: Pick<AuditLog.Audit, "awake" | "deployments" | "tokens">
): ReadonlyArray<Violation> => {
  const known = new Set<string>(slots.flatMap(({ deploymentId }) => deploymentId ?? []))
  const there = new Set(deployments.map(({ id }) => id))
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
      deploymentId === null || there.has(deploymentId)
        ? []
        : [{ rule: "deployment does not exist", detail: `slot ${number}: ${deploymentId}` }]
    )
  ]
}

export interface History {
  readonly max: number
  readonly events: ReadonlyArray<PoolEvent>
  readonly holds: ReadonlyArray<Hold>
  readonly finds: ReadonlyArray<Find>
  readonly audit: AuditLog.Audit
}

/** What must hold of every history, at its end or not. */
export const safety = ({ audit, events, finds, holds, max }: History): ReadonlyArray<Violation> => [
  ...doubleHolds(holds, events),
  ...grants(events),
  ...inversions(events),
  ...lateWrites(audit, holds),
  ...dirt(finds, events),
  ...crowds(audit.states, max)
]

// internal

const expiries = (events: ReadonlyArray<PoolEvent>): ReadonlyMap<string, number> =>
  new Map(events.flatMap(({ at, epoch, kind, slot }) => kind === "expired" ? [[`${slot} ${epoch}`, at]] : []))

const ends = new Set<PoolEvent["kind"]>(["expired", "freed", "handed over", "left to upkeep", "returned"])
