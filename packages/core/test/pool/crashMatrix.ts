/**
 * The crash matrix: all that can go wrong for a process, by row, and how a row is recognised when it happens in a
 * world.
 */
import type { Actor, World } from "./World.js"

/**
 * When a process crashes, or what else happens to it. "It has no response": the change is made, and the process does
 * not know.
 */
export const applicable: ReadonlyMap<number, string> = new Map([
  [1, "before its ticket is in the queue"],
  [2, "while it waits"],
  [3, "its ticket is granted, and it has no response"],
  [4, "its token is minted, and it has no response"],
  [5, "during the test, while other processes of its host live on"],
  [6, "during the test, together with all processes of its host"],
  [7, "its slot is released, and it has no response"],
  [8, "before the release"],
  [9, "upkeep, while it holds a slot"],
  [10, "during a reset"],
  [11, "upkeep, before it frees a verified slot"],
  [12, "before it sends a creation"],
  [13, "the deployment is created, and it has no response"],
  [14, "a creation is on its way"],
  [15, "a wake is sent"],
  [16, "a hibernation is sent"],
  [17, "a ticket arrives during a hibernation"],
  [18, "a deletion is sent"],
  [19, "between a deletion and the next creation"],
  [21, "paused until another holder has the slot, then resumed"],
  [22, "paused before it sends a hibernation, until another holder has the slot"],
  [24, "the ledger cannot be reached for a while"],
  [25, "the ledger cannot be written for a while"],
  [26, "the ledger is deleted"],
  [27, "the host reboots"],
  [28, "the wall clock jumps"],
  [29, "the deployment is deleted in Astro's pages"],
  [30, "the deployment is hibernated or woken in Astro's pages"],
  [32, "during a release"]
])

/** Why a row cannot happen in this world. */
export const notApplicable: ReadonlyMap<number, string> = new Map([
  [20, "there is no keeper process: heartbeats come from a thread of the worker"],
  [23, "a transaction is one synchronous step here; test/chaos stops real processes"],
  [31, "no dead-man switch of Astro's is used"]
])

/** Counts how often each row has happened. */
export class Rows {
  readonly hits = new Map<number, number>()

  hit(...rows: ReadonlyArray<number>): void {
    for (const row of rows) this.hits.set(row, (this.hits.get(row) ?? 0) + 1)
  }

  /** The rows that have never happened. */
  missing(): ReadonlyArray<string> {
    return Array.from(applicable).flatMap(([row, what]) => this.hits.has(row) ? [] : [`${row} (${what})`])
  }

  /** Records the rows that the crash of this process hits. */
  onCrash(world: World, actor: Actor): void {
    const { slots, tickets } = world.inspect(actor.ledger)
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
        const isCreated = held.some(({ slot }) =>
          Array.from(world.cloud.facts.values()).some(({ name }) => name === slot.name)
        )
        this.hit(!isSent ? 12 : isCreated ? 13 : 14)
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
