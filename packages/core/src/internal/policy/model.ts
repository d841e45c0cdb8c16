/** What the pool's decisions are made of: rules, one pool's part of the ledger, requests to change it, and their results. */
import type { Deployment, DeploymentSpec } from "../../Deployment.js"
import type { LeaseId } from "../../Lease.js"
import type { LockHolder, Owner, PoolEvent, Slot, Ticket } from "../../Slot.js"

/**
 * Which pool, and its limits. Times are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolRules {
  readonly poolId: string
  /** How many deployments the pool may fill. */
  readonly max: number
  /** How long a holder, or a waiting ticket, may go without a heartbeat. */
  readonly ttl: number
  readonly maxHold: number
  /** How long an unfenced slot stays untouched after its holder expired: longer than any request. */
  readonly lockDelay: number
}

/**
 * The rules, and whether an owner has provably ended: its slot and its place in the queue need not wait for a deadline then.
 *
 * @since 0.1.0
 * @category models
 */
export interface AppliedRules extends PoolRules {
  readonly isGone: (owner: Owner) => boolean
}

/**
 * One pool's slots and its tickets that have not ended.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ledger {
  readonly slots: ReadonlyArray<Slot>
  readonly tickets: ReadonlyArray<Ticket>
  /** The holder of {@link upkeepLock}. */
  readonly upkeep: LockHolder | null
}

/**
 * The name of the lock that upkeep holds while it is active.
 *
 * @since 0.1.0
 * @category combinators
 */
export const upkeepLock = (poolId: string): string => `upkeep ${poolId}`

/**
 * The result of a decision: the new ledger, the value for the caller, and the events to record.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change<A> {
  readonly value: A
  readonly ledger: Ledger
  readonly events: ReadonlyArray<PoolEvent>
}

/**
 * What has become of a ticket.
 *
 * @since 0.1.0
 * @category models
 */
export type TicketStatus =
  | { readonly _tag: "Granted"; readonly slot: Slot }
  | ({ readonly _tag: "Waiting"; readonly reason: string } & Wait)
  | { readonly _tag: "Ended" }

/**
 * A place in the queue, and what the current holders are doing. Times are the ledger's, in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Wait {
  /** The first place is 1. */
  readonly place: number
  readonly since: number
  readonly holders: ReadonlyArray<
    { readonly slot: number; readonly label: string; readonly activity: string; readonly since: number }
  >
}

/**
 * A request for a slot.
 *
 * @since 0.1.0
 * @category models
 */
export interface NewTicket extends Claimant {
  readonly key: string
  readonly needs: DeploymentSpec
}

/**
 * The process that wants to hold a slot, and what for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Claimant {
  readonly leaseId: LeaseId
  readonly owner: Owner
  readonly label: string
}

/**
 * What a holder may record about its slot.
 *
 * @since 0.1.0
 * @category models
 */
export interface SlotPatch
  extends Partial<Pick<Slot, "generation" | "name" | "deploymentId" | "spec" | "power" | "busyUntil">>
{
  /** From now on, a cloud request may land for this many milliseconds. */
  readonly busyFor?: number
  /** A token is revoked now. */
  readonly revoked?: true
  readonly fenced?: boolean
  readonly activity?: string
}

/**
 * How a hold ended: whether the holder could use the deployment, and why not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  /** Verified empty, after every request of the holder was answered. */
  readonly clean: boolean
  /** `unknown`: the hold ended before that was clear. */
  readonly usable: true | "unknown" | { readonly failure: string }
}

/**
 * What the cloud has: the pool's own deployments, and those that the pool may adopt.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observation {
  readonly own: ReadonlyArray<{ readonly deployment: Deployment; readonly slot: number; readonly generation: number }>
  readonly adoptable: ReadonlyArray<Deployment>
}
