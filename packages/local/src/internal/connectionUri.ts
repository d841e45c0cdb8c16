/** A connection as a URI, read as Airflow reads it: `Connection._parse_from_uri` in airflow/models/connection.py. */

export interface Parts {
  readonly type: string
  readonly host: string
  readonly schema: string
  readonly login: string
  readonly password: string
  /** Digits, or nothing. */
  readonly port: string
  /** JSON, or nothing. */
  readonly extra: string
}

/** `undefined` if it is none. */
export const parse = (uri: string): Parts | undefined => {
  const groups = pattern.exec(uri)?.groups
  if (groups === undefined) return undefined
  const { host = "", login = "", password = "", port = "", protocol, query = "", schema = "", type = "" } = groups
  try {
    const name = decodeURIComponent(host.replace(/^\[|\]$/g, "")).toLowerCase()
    return {
      type: type === "postgresql" ? "postgres" : type.toLowerCase().replaceAll("-", "_"),
      host: protocol === undefined || name === "" ? name : `${protocol}://${name}`,
      schema: decodeURIComponent(schema),
      login: decodeURIComponent(login),
      password: decodeURIComponent(password),
      port,
      extra: extraOf(query)
    }
  } catch {
    // a percent sign that encodes nothing
    return undefined
  }
}

// internal

const scheme = "[a-z][a-z0-9+._-]*"

/** A second scheme is the protocol of the host. */
const pattern = new RegExp(
  [
    `^(?<type>${scheme})://(?:(?<protocol>${scheme})://)?`,
    "(?:(?<login>[^:@/?#]*)(?::(?<password>[^/?#]*))?@)?",
    String.raw`(?<host>\[[^\]]*\]|[^:@/?#]*)(?::(?<port>\d*))?`,
    String.raw`(?:/(?<schema>[^?#]*))?(?:\?(?<query>[^#]*))?$`
  ].join(""),
  "i"
)

const extraOf = (query: string) => {
  if (query === "") return ""
  const extra = Object.fromEntries(new URLSearchParams(query))
  return extra["__extra__"] ?? JSON.stringify(extra)
}
