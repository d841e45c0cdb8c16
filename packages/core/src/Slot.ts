/**
 * A numbered place in the pool, who holds it, and what is known of the deployment in it.
 *
 * @since 0.1.0
 */
import type { DeploymentId, DeploymentSpec } from "./Deployment.js"
import type { LeaseId } from "./Lease.js"

/**
 * A process, told apart from every other one, past ones included.
 *
 * @since 0.1.0
 * @category models
 */
export interface Owner {
  readonly host: string
  /** Changes at every boot of the host. */
  readonly bootId: string
  readonly pid: number
  /** When the process started, in the host's own units: pids are reused. */
  readonly startedAt: string
}

/**
 * Who may touch a slot: one at a time, under the slot's epoch. Times are the ledger's, in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Holder {
  readonly kind: "lease" | "upkeep"
  readonly leaseId: LeaseId
  /** The key under which it was asked for; upkeep asks for nothing. */
  readonly ticket: string | null
  readonly owner: Owner
  /** For whom: the test. */
  readonly label: string
  /** What the holder is busy with; shown to those who wait, and relied on by nobody. */
  readonly activity: string
  readonly since: number
  /** A holder that has not beaten by then has lost the slot, whether or not somebody has noticed. */
  readonly deadline: number
  /** However well it beats, a holder loses the slot then. */
  readonly maxUntil: number
  /** Its writes carry a token that can be deleted. */
  readonly fenced: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Slot {
  readonly number: number
  /** Grows at every grant, and only there. */
  readonly epoch: number
  /** Grows with every deployment that fills the slot. */
  readonly generation: number
  /** Written before the deployment is created, so that a lost answer can be looked up. */
  readonly name: string | null
  readonly deploymentId: DeploymentId | null
  readonly spec: DeploymentSpec | null
  readonly power: "awake" | "asleep" | "unknown"
  /** Verified empty by its last holder: a hint for choosing, never a reason to skip verifying. */
  readonly clean: boolean
  /** A cloud request may be in flight until then: no grant before. */
  readonly busyUntil: number | null
  /** When an older token was last deleted. */
  readonly revokedAt: number | null
  /** How often its deployment was leased. */
  readonly uses: number
  /** When its deployment came into the slot. */
  readonly filledAt: number | null
  /** When its last holder ended. */
  readonly freedAt: number | null
  /** Its deployment was somebody else's before (`AIRFLOW_RESOURCE_ADOPT`): never deleted. */
  readonly adopted: boolean
  /** Why and until when nobody gets it; stays, with its count, until a lease could use it again. */
  readonly quarantine: Quarantine | null
  readonly holder: Holder | null
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Quarantine {
  readonly reason: string
  /** In a row. */
  readonly failures: number
  readonly until: number
}

/**
 * A request in the queue: durable, first come first served. An ended ticket stays, and its key is never granted again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ticket {
  readonly seq: number
  /** `run/worker/test/attempt`: asking again under it is the same request. */
  readonly key: string
  readonly leaseId: LeaseId
  readonly needs: DeploymentSpec
  readonly owner: Owner
  readonly label: string
  readonly state: "waiting" | "granted" | "ended"
  readonly enqueuedAt: number
  /** A waiter that has not asked by then is gone. */
  readonly deadline: number
  readonly slot: number | null
  readonly epoch: number | null
}

/**
 * Who holds a lock on a name, until when.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockHolder {
  readonly holderId: string
  readonly label: string
  readonly owner: Owner
  readonly deadline: number
}

/**
 * What happened to a slot, in the order in which it happened.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolEvent {
  readonly at: number
  readonly kind: EventKind
  readonly slot: number | null
  readonly epoch: number | null
  readonly leaseId: LeaseId | null
  readonly detail: string
}

/**
 * @since 0.1.0
 * @category models
 */
export type EventKind =
  | "queued"
  | "withdrawn"
  | "lapsed"
  | "granted"
  | "step"
  | "expired"
  | "returned"
  | "handed over"
  | "left to upkeep"
  | "freed"
  | "discovered"
  | "quarantined"
