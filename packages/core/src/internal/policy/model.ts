/** The inputs and outputs of the pool's decisions: rules, one pool's part of the ledger, requests to change it, and their results. */
import type { Deployment, DeploymentSpec } from "../../Deployment.js"
import type { LeaseId } from "../../Lease.js"
import type { LockRow, Owner, PoolEvent, Run, Slot, Ticket } from "../../Slot.js"

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
  /** How long a cloud request may be in flight. */
  readonly longestRequest: number
}

/**
 * The rules, as one process applies them.
 *
 * @since 0.1.0
 * @category models
 */
export interface AppliedRules extends PoolRules {
  /** Whether an owner has provably ended: then its slot and its place in the queue expire before their deadlines. */
  readonly isGone: (owner: Owner) => boolean
  /** The machine that the process runs on. */
  readonly machine: string
}

/**
 * One pool's slots, its tickets that have not ended, and what else decides about them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ledger {
  readonly slots: ReadonlyArray<Slot>
  readonly tickets: ReadonlyArray<Ticket>
  /** The {@link upkeepLock} of the machine that reads the ledger. */
  readonly upkeep: LockRow
  /** On all machines. */
  readonly runs: ReadonlyArray<Run>
  /** Uses of names by slots of other pools, and uses that have ended but whose last write may still land. */
  readonly lockUses: ReadonlyArray<LockUse>
}

/**
 * A use of a name that tickets need. Its last write is sent before `endsAt`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LockUse {
  readonly name: string
  readonly label: string
  readonly endsAt: number
}

/**
 * The name of the lock that upkeep holds while it is active: one for each machine, because only a process of the same machine can tell
 * whether the holder has ended (counterexample 24).
 */
export const upkeepLock = (poolId: string, machine: string): string => `upkeep ${poolId} ${machine}`

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
  /** The lock that the ticket waits for, if that is what it waits for. */
  readonly lock: string | null
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
  readonly lock: string | null
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
  /** A cloud request is about to be sent, has a response, or has ended without one, so that it may still land. */
  readonly request?: "sent" | "responded" | "unanswered"
  /** A token is about to be minted. */
  readonly mints?: true
  /** No token is left, by a list that was requested when the mark had this version and no mint could land. */
  readonly noTokens?: number
  /** A token is revoked now. */
  readonly revoked?: true
  /** A write that the holder's lock protects is about to be sent; or all of them have a response. */
  readonly isWriting?: boolean
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
  /** What the holder could not finish. */
  readonly unfinished?: string
}

/**
 * What the cloud has: all deployments of the workspace, the pool's own, and those that the pool may adopt.
 *
 * @since 0.1.0
 * @category models
 */
export interface CloudDeployments {
  readonly all: ReadonlyArray<Deployment>
  readonly own: ReadonlyArray<{ readonly deployment: Deployment; readonly slot: number; readonly generation: number }>
  readonly adoptable: ReadonlyArray<Deployment>
}
