/**
 * How SQL stores encode slots, tickets and locks: as JSON, except for columns that SQL compares or that change without
 * reading the row (decision 003).
 */
import * as Effect from "effect/Effect"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { DeploymentId, DeploymentSpec } from "../../Deployment.js"
import { LeaseId } from "../../Lease.js"
import { type Holder, type LockRow, Owner, type Run, type Slot, type Ticket } from "../../Slot.js"
import type { LockUse } from "../policy/model.js"

/** A slot's columns. A beat extends `deadline` without reading `row`. */
export interface SlotColumns {
  readonly epoch: number
  readonly deadline: number | null
  readonly row: string
}

export const encodeSlot = ({ epoch, ...slot }: Slot): SlotColumns => ({
  epoch,
  deadline: slot.holder?.deadline ?? null,
  row: Schema.encodeSync(SlotJson)(slot)
})

export const decodeSlot = ({ deadline, epoch, row }: SlotColumns): Effect.Effect<Slot, ParseError> =>
  Effect.map(
    Schema.decode(SlotJson)(row),
    (slot) => ({ ...slot, epoch, holder: slot.holder && { ...slot.holder, deadline: deadline ?? 0 } })
  )

export const TicketJson: Schema.Schema<Ticket, string> = Schema.parseJson(Schema.Struct({
  seq: Schema.Number,
  key: Schema.String,
  leaseId: LeaseId,
  needs: DeploymentSpec,
  lock: Schema.NullOr(Schema.String),
  owner: Owner,
  label: Schema.String,
  state: Schema.Literal("waiting", "granted", "ended"),
  enqueuedAt: Schema.Number,
  deadline: Schema.Number,
  slot: Schema.NullOr(Schema.Number),
  epoch: Schema.NullOr(Schema.Number)
}))

export const LockJson: Schema.Schema<LockRow, string> = Schema.parseJson(Schema.Struct({
  epoch: Schema.Number,
  holder: Schema.NullOr(
    Schema.Struct({ holderId: Schema.String, label: Schema.String, owner: Owner, deadline: Schema.Number })
  )
}))

const Names = Schema.optional(Schema.Array(Schema.String))

export const RunJson: Schema.Schema<Run, string> = Schema.parseJson(Schema.Struct({
  id: Schema.String,
  owner: Owner,
  deadline: Schema.Number,
  hibernateAfter: Schema.Number,
  recycleUses: Schema.NullOr(Schema.Number),
  recycleAge: Schema.NullOr(Schema.Number),
  reset: Schema.Struct({
    keep: Schema.optional(Schema.Struct({ variables: Names, connections: Names, pools: Names })),
    defaultPoolSlots: Schema.optional(Schema.Number)
  })
}))

export const LockUseJson: Schema.Schema<LockUse, string> = Schema.parseJson(Schema.Struct({
  name: Schema.String,
  label: Schema.String,
  endsAt: Schema.Number
}))

// internal

type SlotInJson = Omit<Slot, "epoch" | "holder"> & { readonly holder: Omit<Holder, "deadline"> | null }

const SlotJson: Schema.Schema<SlotInJson, string> = Schema.parseJson(Schema.Struct({
  number: Schema.Number,
  generation: Schema.Number,
  name: Schema.NullOr(Schema.String),
  deploymentId: Schema.NullOr(DeploymentId),
  spec: Schema.NullOr(DeploymentSpec),
  power: Schema.Literal("awake", "asleep", "unknown"),
  clean: Schema.Boolean,
  busyUntil: Schema.NullOr(Schema.Number),
  isRequesting: Schema.Boolean,
  tokens: Schema.Struct({ mayExist: Schema.Boolean, version: Schema.Number }),
  revokedAt: Schema.NullOr(Schema.Number),
  uses: Schema.Number,
  filledAt: Schema.NullOr(Schema.Number),
  freedAt: Schema.NullOr(Schema.Number),
  adopted: Schema.NullOr(Schema.Struct({ overrideUntil: Schema.NullOr(Schema.Number) })),
  quarantine: Schema.NullOr(
    Schema.Struct({ reason: Schema.String, failures: Schema.Number, until: Schema.Number })
  ),
  holder: Schema.NullOr(Schema.Struct({
    kind: Schema.Literal("lease", "upkeep"),
    leaseId: LeaseId,
    ticket: Schema.NullOr(Schema.String),
    owner: Owner,
    label: Schema.String,
    activity: Schema.String,
    since: Schema.Number,
    maxUntil: Schema.Number,
    fenced: Schema.Boolean,
    lock: Schema.NullOr(Schema.Struct({ name: Schema.String, isWriting: Schema.Boolean }))
  }))
}))
