/** Pools in Airflow 3. */
import type { Json, Response } from "../../Http.js"
import { type Call, like } from "../Airflow.js"
import type { Pool } from "../Metadata.js"
import * as Pools from "../Pools.js"
import { isAtLeast } from "../Version.js"
import * as Body from "./Body.js"
import * as Bulk from "./Bulk.js"
import * as Lists from "./Lists.js"
import * as Responses from "./Responses.js"

const toJson = (call: Call, name: string, pool: Pool) => ({
  ...Pools.toJson(call, name, pool),
  ...Responses.team(call)
})

const notFound = (name: string): Response => Responses.failure(404, `The Pool with name: \`${name}\` was not found`)

/** 3.0 accepts any integer. */
const slots = (call: Call): Body.Field => ({
  check: (value) => {
    if (typeof value !== "number" || !Number.isInteger(value)) return Body.integer.check(value)
    if (value >= -1 || !isAtLeast(call.version, "3.1")) return undefined
    return {
      type: "greater_than_equal",
      msg: "Input should be greater than or equal to -1",
      ctx: { ge: -1 }
    }
  }
})

/** Changes a pool. With `replaces`, nothing of an existing one is kept. */
const put = (call: Call, name: string, body: Json, replaces = false): Pool => {
  const known = replaces ? undefined : call.deployment.metadata.pools.get(name)
  const pool = {
    slots: Number(body.slots ?? known?.slots ?? 0),
    description: Body.description(body, known),
    includeDeferred: typeof body.include_deferred === "boolean"
      ? body.include_deferred
      : known?.includeDeferred ?? false
  }
  Pools.save(call, name, pool)
  return pool
}

const orderFields = { id: "", pool: "name", name: "name", slots: "slots" }

export const list = (call: Call): Response => {
  const { query } = call.request
  const pattern = like(query.get("pool_name_pattern"))
  const found = [...call.deployment.metadata.pools].filter(([name]) => pattern.test(name))
    .map(([name, pool]) => toJson(call, name, pool))
  const sorted = Lists.ordered(found, query.getAll("order_by"), orderFields)
  return Lists.page(call, "pools", sorted, (pool) => pool)
}

export const post = (call: Call): Response => {
  const body = Body.read(call, {
    name: Body.required(Body.text),
    slots: Body.required(slots(call)),
    description: Body.orNull(Body.text),
    include_deferred: Body.boolean,
    ...Body.team(call)
  })
  const name = String(body.name)
  if (call.deployment.metadata.pools.has(name)) return Responses.uniqueViolation(call, "slot_pool", ["pool"])
  // 3.0 cannot print the number of open slots of an unlimited pool
  if (body.slots === -1 && !isAtLeast(call.version, "3.1")) return Responses.crash()
  return Responses.json(201, toJson(call, name, put(call, name, body)))
}

export const get = (call: Call, name: string): Response => {
  const pool = call.deployment.metadata.pools.get(name)
  return pool === undefined ? notFound(name) : Responses.ok(toJson(call, name, pool))
}

export const patch = (call: Call, name: string): Response => {
  const body = Body.read(call, {
    name: Body.orNull(Body.text),
    pool: Body.orNull(Body.text),
    slots: Body.orNull(slots(call)),
    description: Body.orNull(Body.text),
    include_deferred: Body.orNull(Body.boolean),
    ...Body.team(call)
  })
  const mask = Body.updateMask(call)
  const bodyName = body.pool ?? body.name ?? ""
  if (bodyName !== "" && bodyName !== name) {
    return Responses.failure(400, "Invalid body, pool name from request body doesn't match uri parameter")
  }
  if (!call.deployment.metadata.pools.has(name)) return notFound(name)
  if (name === "default_pool") {
    if (mask.length === 0 || mask.some((field) => field !== "slots" && field !== "include_deferred")) {
      return Responses.failure(400, "Only slots and included_deferred can be modified on Default Pool")
    }
  } else {
    const missing = incomplete(call, body, mask.length > 0)
    if (missing !== undefined) return missing
  }
  return Responses.ok(toJson(call, name, put(call, name, Body.masked(call, body))))
}

/** All fields of a pool are required, since 3.2 even if a mask names the fields to change. */
const incomplete = (call: Call, body: Json, isMasked: boolean): Response | undefined => {
  if (isMasked && !isAtLeast(call.version, "3.2")) return undefined
  const required = ["pool", "slots", ...isAtLeast(call.version, "3.1") ? [] : ["description"], "include_deferred"]
  const errors = required.filter((field) => !(field in body)).map((field) => ({
    type: "missing",
    loc: [field],
    msg: "Field required",
    input: body,
    url: "https://errors.pydantic.dev/2.13/v/missing"
  }))
  return errors.length === 0 ? undefined : Responses.failure(422, errors)
}

export const deletePool = (call: Call, name: string): Response => {
  if (name === "default_pool") return Responses.failure(400, "Default Pool can't be deleted")
  if (!call.deployment.metadata.pools.has(name)) return notFound(name)
  Pools.deletePool(call, name)
  return Responses.deleted()
}

/** A bulk request may delete the default pool. */
export const patchBulk = (call: Call): Response =>
  Bulk.run(call, {
    noun: "pools with these pool names",
    idOf: (entity) => String(entity.pool ?? entity.name),
    has: (name) => call.deployment.metadata.pools.has(name),
    put: (name, entity, replaces) => void put(call, name, entity, replaces),
    delete: (name) => Pools.deletePool(call, name)
  })
