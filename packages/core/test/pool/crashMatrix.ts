/** The rows of the crash matrix (`pool.md` §4.10), and by what they are known when they come about in a world. */
import type { Actor, World } from "./World.js"

export const applicable: ReadonlyMap<number, string> = new Map([
  [1, "before the ticket is in the queue"],
  [2, "while it waits"],
  [3, "granted, and it does not know yet"],
  [4, "its token is made, and it does not know yet"],
  [5, "during the test, others of the host live on"],
  [6, "during the test, with all processes of its host"],
  [7, "released, and it does not know yet"],
  [8, "before the release"],
  [9, "upkeep, with a slot in hand"],
  [10, "in the middle of a reset"],
  [11, "upkeep, before it frees what is verified"],
  [12, "before a creation is sent"],
  [13, "a creation is carried out, and it does not know yet"],
  [14, "a creation is on its way"],
  [15, "a wake is sent"],
  [16, "a hibernation is sent"],
  [17, "a ticket comes while a hibernation is under way"],
  [18, "a deletion is sent"],
  [19, "between a deletion and the next creation"],
  [21, "paused for so long that others have the slot, then resumed"],
  [22, "paused before it sends a hibernation, until others have the slot"],
  [24, "the ledger cannot be reached for a while"],
  [25, "nothing can be written into the ledger for a while"],
  [26, "the ledger is deleted"],
  [27, "the host boots"],
  [28, "the wall clock jumps"],
  [29, "the deployment is deleted in the UI"],
  [30, "the deployment is hibernated or woken in the UI"],
  [32, "in the middle of a release"]
])

/** Why a row is none of this world's. */
export const notApplicable: ReadonlyMap<number, string> = new Map([
  [20, "there is no keeper process: heartbeats are a thread of the worker"],
  [23, "a transaction is one synchronous step here; test/chaos stops real processes"],
  [31, "no dead-man switch of the vendor: DESIGN.md §9"]
])

/** Counts which rows came about. */
export class Rows {
  readonly hits = new Map<number, number>()

  hit(...rows: ReadonlyArray<number>): void {
    for (const row of rows) this.hits.set(row, (this.hits.get(row) ?? 0) + 1)
  }

  /** Those that never came about. */
  missing(): ReadonlyArray<string> {
    return Array.from(applicable).flatMap(([row, what]) => this.hits.has(row) ? [] : [`${row} (${what})`])
  }

  /** A process dies now. */
  onCrash(world: World, actor: Actor): void {
    const { slots, tickets } = world.look(actor.ledger)
    const isOwn = ({ owner }: { readonly owner: { readonly pid: number } }) => owner.pid === actor.owner.pid
    const held = slots.flatMap((slot) =>
      slot.holder !== null && isOwn(slot.holder) ? [{ slot, holder: slot.holder }] : []
    )
    const isUpkeep = held.some(({ holder }) => holder.kind === "upkeep")
    for (const { call, phase } of actor.pending) {
      const isSent = phase !== "before"
      if (call === "enqueue" && !isSent) this.hit(1)
      if (call === "step" && isSent && held.some(({ holder }) => holder.activity === "starting")) this.hit(3)
      if (call === "createToken" && isSent) this.hit(4)
      if (call === "free" || call === "handOver") this.hit(isSent ? 7 : isUpkeep ? 11 : 8)
      if (call === "create") {
        const isThere = held.some(({ slot }) =>
          Array.from(world.cloud.facts.values()).some(({ name }) => name === slot.name)
        )
        this.hit(!isSent ? 12 : isThere ? 13 : 14)
      }
      if (call === "wake" && isSent) this.hit(15)
      if (call === "hibernate" && isSent) this.hit(16)
      if (call === "delete" && isSent) this.hit(18)
    }
    if (tickets.some((ticket) => ticket.state === "waiting" && isOwn(ticket))) this.hit(2)
    for (const { holder, slot } of held) {
      if (holder.kind === "upkeep") this.hit(9)
      if (holder.activity === "resetting") this.hit(10)
      if (slot.name === null && slot.generation > 1) this.hit(19)
      if (holder.kind === "lease" && ["pausing DAGs", "hibernating"].includes(holder.activity)) this.hit(32)
      if (holder.kind === "lease" && holder.activity === "in use") {
        const others = world.actors.filter((other) => other !== actor && other.host === actor.host)
        this.hit(others.some(({ state }) => state !== "crashed") ? 5 : 6)
      }
    }
  }
}
