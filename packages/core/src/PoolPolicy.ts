/**
 * The parts of the pool's protocol that other packages use: the types of `DeploymentCache`, and the decisions that can be
 * evaluated on a snapshot of the ledger. All decisions are pure functions of one pool's ledger and the time; a store runs each of them
 * inside one immediate transaction.
 *
 * @since 0.1.0
 */
export type {
  AppliedRules,
  Change,
  Claimant,
  CloudDeployments,
  Ledger,
  NewTicket,
  Outcome,
  PoolRules,
  SlotPatch,
  TicketStatus,
  Wait
} from "./internal/policy/model.js"
export { step } from "./internal/policy/queue.js"
export { holds } from "./internal/policy/slots.js"
