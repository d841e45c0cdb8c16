/**
 * A numbered place in the pool: its holder, and what is known of the deployment in it.
 *
 * @since 0.1.0
 */
import type { ResetOptions } from "@airflow-resource/airflow/AirflowReset"
import * as Schema from "effect/Schema"
import type { DeploymentId, DeploymentSpec } from "./Deployment.js"
import type { LeaseId } from "./Lease.js"

/**
 * A process, distinguishable from every other process, past ones included.
 *
 * @since 0.1.0
 * @category models
 */
export const Owner = Schema.Struct({
  host: Schema.String,
  /** Changes whenever the host boots. */
  bootId: Schema.String,
  pid: Schema.Number,
  /** When the process started, in the host's own units: pids are reused. */
  startedAt: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Owner = typeof Owner.Type

/**
 * The lease or the upkeep that may touch a slot: one at a time, under the slot's epoch. Times are the ledger's, in
 * milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Holder {
  readonly kind: "lease" | "upkeep"
  readonly leaseId: LeaseId
  /** The key of the ticket that was granted; `null` for upkeep, which has none. */
  readonly ticket: string | null
  readonly owner: Owner
  /** The name of the test, or of upkeep's task. */
  readonly label: string
  /** What the holder is doing: shown to waiters, and used for nothing else. */
  readonly activity: string
  readonly since: number
  /** A holder that has not beaten by this time has lost the slot, even if no process has expired it yet. */
  readonly deadline: number
  /** At this time the holder loses the slot, even if it beats. */
  readonly maxUntil: number
  /** It writes with a token that the next holder can delete. */
  readonly fenced: boolean
  /** The name that it uses alone, together with the slot; `null`: none. */
  readonly lock: HeldLock | null
}

/**
 * A name that at most one holder of the whole ledger uses at a time, such as the repository that DAGs are delivered from.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeldLock {
  readonly name: string
  /** A write that the lock protects is about to be sent, or has no response yet. */
  readonly isWriting: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Slot {
  readonly number: number
  /** Grows with every grant, and only then. */
  readonly epoch: number
  /** Grows with every deployment that fills the slot. */
  readonly generation: number
  /** The deployment's name. Recorded before it is created, so that it can be found after a lost response. */
  readonly name: string | null
  readonly deploymentId: DeploymentId | null
  readonly spec: DeploymentSpec | null
  readonly power: "awake" | "asleep" | "unknown"
  /** The last holder verified that it is empty. A hint for choosing a slot, never a reason to skip verification. */
  readonly clean: boolean
  /** Until then a cloud request without a response may land, and the slot is not granted. */
  readonly busyUntil: number | null
  /** The holder is about to send a cloud request, or has sent it and has no response yet. */
  readonly isRequesting: boolean
  /** Whether tokens of this ledger may exist for the slot's deployments. */
  readonly tokens: TokenMark
  /** When a token of an earlier holder was last deleted. */
  readonly revokedAt: number | null
  /** How many leases its deployment has had. */
  readonly uses: number
  /** When its deployment filled the slot. */
  readonly filledAt: number | null
  /** The start of its idle time: when its last lease ended. A hold of upkeep does not move it, unless upkeep gave the slot back. */
  readonly freedAt: number | null
  /** Its deployment does not belong to the pool (`AIRFLOW_RESOURCE_ADOPT`), which never deletes it. */
  readonly adopted: Adoption | null
  /**
   * Why the slot is not granted for a while. Stays, with its count of failures, until a holder can use the slot again.
   */
  readonly quarantine: Quarantine | null
  readonly holder: Holder | null
}

/**
 * What an adopted deployment gets back after each lease.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adoption {
  /** When the hibernation that its user has requested ends, so that its schedules apply again. `null`: never. */
  readonly overrideUntil: number | null
}

/**
 * @since 0.1.0
 * @category models
 */
export interface TokenMark {
  /** Recorded before a token is minted, and until a list shows that there is none. */
  readonly mayExist: boolean
  /** Grows each time that the mark is set. */
  readonly version: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Quarantine {
  readonly reason: string
  /** How many holders in a row could not use the slot. */
  readonly failures: number
  readonly until: number
}

/**
 * A durable request in the queue, first come, first served. An ended ticket stays in the ledger for at least a week, and
 * until then its key is not granted again.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ticket {
  readonly seq: number
  /** Identifies the request: enqueueing the same key again adds no ticket. */
  readonly key: string
  readonly leaseId: LeaseId
  readonly needs: DeploymentSpec
  /** The name of the lock that is granted together with the slot; `null`: none. */
  readonly lock: string | null
  readonly owner: Owner
  readonly label: string
  readonly state: "waiting" | "granted" | "ended"
  readonly enqueuedAt: number
  /** A waiter that has not polled by this time has lost its place. */
  readonly deadline: number
  readonly slot: number | null
  readonly epoch: number | null
}

/**
 * A process that wants deployments to stay awake between its leases, such as a run of vitest.
 *
 * @since 0.1.0
 * @category models
 */
export interface Run {
  readonly id: string
  readonly owner: Owner
  /** A run that has not beaten by this time has ended. */
  readonly deadline: number
  /** How long an unused deployment stays awake, in milliseconds. */
  readonly hibernateAfter: number
  /** When a deployment is replaced: after this many leases, or at this age in milliseconds. `null`: never. */
  readonly recycleUses: number | null
  readonly recycleAge: number | null
  /** What a reset keeps for this run: the process that resets may have been started by another one. */
  readonly reset: Pick<ResetOptions, "keep" | "defaultPoolSlots">
}

/**
 * The holder of a lock on a name.
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
 * A lock on a name.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockRow {
  /** Grows with every acquisition. */
  readonly epoch: number
  readonly holder: LockHolder | null
}

/**
 * What happened to a slot or a ticket, in the order in which it happened.
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
  /** Of `queued`: the label of the ticket. Of `step`: the activity. */
  readonly detail: string
}

/**
 * An event, as the ledger has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedEvent extends PoolEvent {
  /** Grows from event to event, with gaps. */
  readonly seq: number
}

/**
 * Which events to read.
 *
 * @since 0.1.0
 * @category models
 */
export interface EventQuery {
  /** Those of one lease [all]. */
  readonly leaseId?: LeaseId | undefined
  /** Those that were recorded after the event with this number [all]. */
  readonly after?: number | undefined
  /** At most so many, the last ones [all]. */
  readonly last?: number | undefined
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
  | "unfinished"
