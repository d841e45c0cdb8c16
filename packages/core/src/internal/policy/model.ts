/** The inputs and outputs of the pool's decisions: rules, one pool's part of the ledger, requests to change it, and their results. */
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
  /** How long a holder may keep a slot, however regularly it beats. */
  readonly maxHold: number
  /** How long an unfenced slot is not granted after its holder expired: longer than any request takes. */
  readonly lockDelay: number
}

/**
 * The rules, and whether an owner has provably ended: then its slot and its place in the queue expire before their deadlines.
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

/** The name of the lock that upkeep holds while it is active. */
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
 * Where a ticket stands: granted, waiting, or ended.
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
 * How a hold ended: whether the deployment is empty, and whether the holder could use it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  /** It was verified to be empty, after every request of the holder had a response. */
  readonly clean: boolean
  /** `unknown`: the hold ended before the holder could tell. */
  readonly usable: true | "unknown" | { readonly failure: string }
}

/**
 * What the cloud has: the pool's own deployments, and those that the pool may adopt.
 *
 * @since 0.1.0
 * @category models
 */
export interface CloudDeployments {
  readonly own: ReadonlyArray<{ readonly deployment: Deployment; readonly slot: number; readonly generation: number }>
  readonly adoptable: ReadonlyArray<Deployment>
}
