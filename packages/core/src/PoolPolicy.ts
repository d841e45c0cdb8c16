/**
 * The pool's decisions, as pure functions of one pool's ledger and the time: which ticket gets which slot, what is overdue, when a slot
 * may be handed over. A store runs each of them inside one immediate transaction; none of them waits or does I/O.
 *
 * @since 0.1.0
 */
export { claim, free, giveBack, handOver, update } from "./internal/policy/hold.js"
export * from "./internal/policy/model.js"
export { enqueue, step, sweep, withdraw } from "./internal/policy/queue.js"
export { reconcile } from "./internal/policy/reconcile.js"
export { holds } from "./internal/policy/slots.js"
