/** Pools in Airflow 2. */
import { Halt, type Json, noContent, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import type { Pool } from "../Metadata.js"
import * as Pools from "../Pools.js"
import * as Python from "../Python.js"
import { checkFields, objectBody, updateMask } from "./Body.js"
import { ordered, page } from "./Lists.js"
import { badRequest, html, ok, problem } from "./Responses.js"

const requirePool = (call: Call, name: string): Pool => {
  const pool = call.deployment.metadata.pools.get(name)
  if (pool !== undefined) return pool
  throw new Halt(problem(call, 404, "Not Found", `Pool with name:'${name}' not found`))
}

/** Airflow 2 cannot print the number of open slots of an unlimited pool. */
const toJson = (call: Call, name: string) => {
  const pool = requirePool(call, name)
  if (pool.slots !== -1) return Pools.toJson(call, name, pool)
  throw new Halt(problem(call, 500, "Response body does not conform to specification", "inf is not of type 'integer'"))
}

const readBody = (call: Call): Json => {
  const body = objectBody(call)
  checkFields(call, body, ["name", "slots", "description", "include_deferred"])
  if ("slots" in body && !Number.isInteger(body.slots)) {
    throw new Halt(badRequest(call, `${Python.repr(body.slots)} is not of type 'integer' - 'slots'`))
  }
  return body
}

const missingProperties = (call: Call, body: Json): Response | undefined => {
  const missing = ["name", "slots"].filter((name) => !(name in body))
  return missing.length === 0
    ? undefined
    : badRequest(call, `Missing required property(ies): [${missing.map((name) => `'${name}'`).join(", ")}]`)
}

const save = (call: Call, name: string, body: Json): Response => {
  const known = call.deployment.metadata.pools.get(name)
  Pools.save(call, name, {
    slots: Number(body.slots ?? known?.slots),
    description: typeof body.description === "string" ? body.description : known?.description ?? null,
    includeDeferred: typeof body.include_deferred === "boolean"
      ? body.include_deferred
      : known?.includeDeferred ?? false
  })
  return ok(toJson(call, name))
}

export const list = (call: Call): Response => {
  const pools = [...call.deployment.metadata.pools.keys()].map((name) => toJson(call, name))
  return page(call, "pools", ordered(call, pools, { id: "", name: "name", slots: "slots" }), (item) => item)
}

export const get = (call: Call, name: string): Response => ok(toJson(call, name))

export const post = (call: Call): Response => {
  const body = readBody(call)
  const name = String(body.name)
  if (call.deployment.metadata.pools.has(name)) return problem(call, 409, "Conflict", `Pool: ${name} already exists`)
  return missingProperties(call, body) ?? save(call, name, body)
}

/** The fields of the default pool that may be changed. */
const mutableFields = new Set(["slots", "include_deferred"])

export const patch = (call: Call, name: string): Response => {
  const body = readBody(call)
  const mask = updateMask(call)
  if (name === "default_pool" && body.name !== name && mask?.every((field) => mutableFields.has(field)) !== true) {
    return badRequest(call, "Default Pool's name can't be modified")
  }
  requirePool(call, name)
  if (mask === undefined) return missingProperties(call, body) ?? save(call, name, body)
  return save(call, name, Object.fromEntries(Object.entries(body).filter(([key]) => mask.includes(key))))
}

export const deletePool = (call: Call, name: string): Response => {
  if (name === "default_pool") return badRequest(call, "Default Pool can't be deleted")
  requirePool(call, name)
  Pools.deletePool(call, name)
  return noContent({ "content-type": html })
}
