/**
 * Ids and names in the paths of requests.
 */

/** Encodes an id or a name for a path. Text that is not valid Unicode cannot be encoded, and becomes empty. */
export const segment = (id: string) => /\p{Surrogate}/u.test(id) ? "" : encodeURIComponent(id)

/**
 * Why a path does not lead to what it names, if so. The request would go to another path, or to none: Airflow's response
 * would be a redirect or say that there is no such thing.
 */
export const unaddressable = (
  path: string
): { readonly kind: "badRequest" | "unsupported"; readonly detail: string } | undefined => {
  const [names = ""] = path.split("?")
  const found = rules.find(({ pattern }) => pattern.test(names))
  return found && { kind: found.kind, detail: found.detail }
}

// internal

const rules = [
  // URL libraries resolve these segments
  {
    pattern: /(^|\/)\.{1,2}(?=\/|$)/,
    kind: "badRequest",
    detail: "a name that consists of one or two dots cannot be part of a URL"
  },
  {
    pattern: /\/(?=\/|$)/,
    kind: "badRequest",
    detail: "a name that is empty or not valid Unicode cannot be part of a URL"
  },
  // the patterns of most routes do not match it
  { pattern: /%0a/i, kind: "badRequest", detail: "Airflow's API has no route to a name with a line break" },
  {
    pattern: /\/v1\/users\/.*%2f/i,
    kind: "badRequest",
    detail: "Airflow's API has no route to a user with a slash in the name"
  },
  // Airflow 2 decodes the path, and then redirects to the path with one slash in place of two
  {
    pattern: /^\/api\/v1\/.*\/%2f/i,
    kind: "unsupported",
    detail: "the API of Airflow 2 has no route to a name that begins with a slash"
  },
  {
    pattern: /^\/api\/v1\/pools\/.*%2f/i,
    kind: "unsupported",
    detail: "the API of Airflow 2 has no route to a pool with a slash in its name"
  }
] as const
