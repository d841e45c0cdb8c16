/** What the ledger keeps of slots, tickets and locks as text. Columns of their own are only what SQL has to compare. */
import * as Schema from "effect/Schema"
import { DeploymentId, DeploymentSpec } from "../../Deployment.js"
import type { LockRow as Lock } from "../../DeploymentCache.js"
import { LeaseId } from "../../Lease.js"
import type { Slot, Ticket } from "../../Slot.js"

const OwnerRow = Schema.Struct({
  host: Schema.String,
  bootId: Schema.String,
  pid: Schema.Number,
  startedAt: Schema.String
})

export const SlotRow: Schema.Schema<Omit<Slot, "epoch">, string> = Schema.parseJson(Schema.Struct({
  number: Schema.Number,
  generation: Schema.Number,
  name: Schema.NullOr(Schema.String),
  deploymentId: Schema.NullOr(DeploymentId),
  spec: Schema.NullOr(DeploymentSpec),
  power: Schema.Literal("awake", "asleep", "unknown"),
  clean: Schema.Boolean,
  busyUntil: Schema.NullOr(Schema.Number),
  revokedAt: Schema.NullOr(Schema.Number),
  uses: Schema.Number,
  filledAt: Schema.NullOr(Schema.Number),
  freedAt: Schema.NullOr(Schema.Number),
  adopted: Schema.Boolean,
  quarantine: Schema.NullOr(
    Schema.Struct({ reason: Schema.String, failures: Schema.Number, until: Schema.Number })
  ),
  holder: Schema.NullOr(Schema.Struct({
    kind: Schema.Literal("lease", "upkeep"),
    leaseId: LeaseId,
    ticket: Schema.NullOr(Schema.String),
    owner: OwnerRow,
    label: Schema.String,
    activity: Schema.String,
    since: Schema.Number,
    deadline: Schema.Number,
    maxUntil: Schema.Number,
    fenced: Schema.Boolean
  }))
}))
export const TicketRow: Schema.Schema<Ticket, string> = Schema.parseJson(Schema.Struct({
  seq: Schema.Number,
  key: Schema.String,
  leaseId: LeaseId,
  needs: DeploymentSpec,
  owner: OwnerRow,
  label: Schema.String,
  state: Schema.Literal("waiting", "granted", "ended"),
  enqueuedAt: Schema.Number,
  deadline: Schema.Number,
  slot: Schema.NullOr(Schema.Number),
  epoch: Schema.NullOr(Schema.Number)
}))
export const LockRow: Schema.Schema<Lock, string> = Schema.parseJson(Schema.Struct({
  epoch: Schema.Number,
  holder: Schema.NullOr(
    Schema.Struct({ holderId: Schema.String, label: Schema.String, owner: OwnerRow, deadline: Schema.Number })
  )
}))
