/** Many creations, changes and deletions in one request. The response is 200 even if parts of it failed. */
import { isObject, type Json, type Response } from "../../Http.js"
import type { Call } from "../Airflow.js"
import * as Python from "../Python.js"
import * as Body from "./Body.js"
import * as Responses from "./Responses.js"

export interface Kind {
  /** As in "The variables with these keys". */
  readonly noun: string
  readonly idOf: (entity: Json) => string
  readonly has: (id: string) => boolean
  /** Writes an entity. With `replaces`, nothing of an existing one is kept; otherwise only the given fields change. */
  readonly put: (id: string, entity: Json, replaces: boolean) => void
  readonly delete: (id: string) => void
}

interface Result {
  readonly success: Array<string>
  readonly errors: Array<{ readonly error: string; readonly status_code: number }>
}

export const run = (call: Call, kind: Kind): Response => {
  const { actions } = Body.read(call, { actions: Body.required(Body.list) })
  const results: Record<string, Result | null> = { create: null, update: null, delete: null }
  for (const action of Array.isArray(actions) ? actions : []) {
    const name = isObject(action) ? String(action.action) : ""
    if (!isObject(action) || !(name in results) || !Array.isArray(action.entities)) {
      return Responses.crash()
    }
    const result = results[name] ?? { success: [], errors: [] }
    results[name] = result
    apply(kind, name, action, action.entities, result)
  }
  return Responses.ok(results)
}

const apply = (kind: Kind, name: string, action: Json, entities: ReadonlyArray<unknown>, result: Result) => {
  const named = entities.map((entity) => ({
    id: isObject(entity) ? kind.idOf(entity) : String(entity),
    entity: isObject(entity) ? entity : {}
  }))
  const creates = name === "create"
  const isConflict = (id: string) => kind.has(id) === creates
  const rule = creates ? action.action_on_existence : action.action_on_non_existence
  const conflicts = named.filter(({ id }) => isConflict(id)).map(({ id }) => id)
  // one conflict stops the whole action, unless the rule says otherwise
  if (conflicts.length > 0 && rule !== "skip" && rule !== "overwrite") {
    result.errors.push({
      error: `The ${kind.noun}: {${conflicts.map(Python.repr).join(", ")}} ${
        creates ? "already exist." : "were not found."
      }`,
      status_code: creates ? 409 : 404
    })
    return
  }
  for (const { entity, id } of named) {
    if (isConflict(id) && rule !== "overwrite") continue
    if (name === "delete") kind.delete(id)
    else kind.put(id, entity, creates)
    result.success.push(id)
  }
}
