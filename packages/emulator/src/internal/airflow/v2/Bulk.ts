/** Many creations, changes and deletions in one request: answered with 200 even where parts have failed. */
import { isObject, type Json, type Reply } from "../../Http.js"
import * as Python from "../Python.js"
import type { Call } from "../Site.js"
import * as Answers from "./Answers.js"

export interface Kind {
  /** As in "The variables with these keys". */
  readonly words: string
  readonly idOf: (entity: Json) => string
  readonly has: (id: string) => boolean
  /** Writes it, over what is there or in its place. */
  readonly put: (id: string, entity: Json, replaces: boolean) => void
  readonly remove: (id: string) => void
}

interface Result {
  readonly success: Array<string>
  readonly errors: Array<{ readonly error: string; readonly status_code: number }>
}

export const run = (call: Call, kind: Kind): Reply => {
  const { actions } = Answers.fields(call, { actions: Answers.required(Answers.texts) })
  const results: Record<string, Result | null> = { create: null, update: null, delete: null }
  for (const action of Array.isArray(actions) ? actions : []) {
    const name = isObject(action) ? String(action.action) : ""
    if (!isObject(action) || !(name in results) || !Array.isArray(action.entities)) {
      return Answers.crash()
    }
    const result = results[name] ?? { success: [], errors: [] }
    results[name] = result
    apply(kind, name, action, action.entities, result)
  }
  return Answers.ok(results)
}

const apply = (kind: Kind, name: string, action: Json, entities: ReadonlyArray<unknown>, result: Result) => {
  const named = entities.map((entity) => ({
    id: isObject(entity) ? kind.idOf(entity) : String(entity),
    entity: isObject(entity) ? entity : {}
  }))
  const creates = name === "create"
  const isOdd = (id: string) => kind.has(id) === creates
  const rule = creates ? action.action_on_existence : action.action_on_non_existence
  const odd = named.filter(({ id }) => isOdd(id)).map(({ id }) => id)
  // one that is not as it should be stops the whole action, unless told otherwise
  if (odd.length > 0 && rule !== "skip" && rule !== "overwrite") {
    result.errors.push({
      error: `The ${kind.words}: {${odd.map(Python.repr).join(", ")}} ${
        creates ? "already exist." : "were not found."
      }`,
      status_code: creates ? 409 : 404
    })
    return
  }
  for (const { entity, id } of named) {
    if (isOdd(id) && rule !== "overwrite") continue
    if (name === "delete") kind.remove(id)
    else kind.put(id, entity, creates)
    result.success.push(id)
  }
}
