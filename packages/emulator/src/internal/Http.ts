/** Requests and replies as values, and a table of routes: all that the emulated APIs know of HTTP. */
import type { IncomingHttpHeaders } from "node:http"

export interface Request {
  readonly method: string
  /** As it arrived: undecoded path and query. */
  readonly target: string
  readonly segments: ReadonlyArray<string>
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Growing
  /** Compressed; a growing body as a whole at its end, or bit by bit. */
  readonly gzip?: "whole" | "streamed"
}

/** A body that is asked what to add, again and again, until it is done. */
export interface Growing {
  readonly everyMillis: number
  readonly next: (now: number) => { readonly text: string; readonly isLast: boolean }
}

export const parse = (method: string, target: string, headers: IncomingHttpHeaders, body: string): Request => {
  const at = target.indexOf("?")
  const path = at < 0 ? target : target.slice(0, at)
  return {
    method,
    target,
    // never decoded as a whole: a segment may contain an encoded slash
    segments: path.split("/").slice(1),
    query: new URLSearchParams(at < 0 ? "" : target.slice(at + 1)),
    headers,
    body
  }
}

/** The same request as seen by what is mounted below the first `depth` segments. */
export const below = (request: Request, depth: number): Request => ({
  ...request,
  segments: request.segments.slice(depth)
})

export const reply = (
  status: number,
  contentType: string,
  body: string,
  headers: Record<string, string> = {}
): Reply => ({
  status,
  headers: { "content-type": contentType, ...headers },
  body
})

export const json = (status: number, body: unknown, headers: Record<string, string> = {}): Reply =>
  reply(status, "application/json", `${JSON.stringify(body, null, 2)}\n`, headers)

export const noContent = (headers: Record<string, string> = {}): Reply => ({ status: 204, headers, body: "" })

/** What a gateway in front of the real thing answers. */
export const gatewayPage = (status: number): Reply =>
  reply(
    status,
    "text/html",
    `<html>\r\n<head><title>${status}</title></head>\r\n<body>\r\n<center><h1>${status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`
  )

/** Ends a handler early. */
export class Halt extends Error {
  readonly reply: Reply
  constructor(reply: Reply) {
    super(`answered ${reply.status}`)
    this.reply = reply
  }
}

/** The token of `Authorization: Bearer …` (GitHub's `token …` as well). */
export const bearer = (headers: IncomingHttpHeaders): string | undefined =>
  /^(?:bearer|token)\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1]

export type Json = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The body as JSON; `undefined` where it is none. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A handler gets the decoded values of the `:parameters` in their order. */
export interface Route<C> {
  readonly method: string
  readonly pattern: ReadonlyArray<string>
  readonly query: ReadonlyArray<string>
  readonly handle: (call: C, ...parameters: Array<string>) => Reply
}

/** `route("GET dags/:dagId", handler, ["fields"])`; the last argument names the query parameters it knows. */
export const route = <C>(spec: string, handle: Route<C>["handle"], query: ReadonlyArray<string> = []): Route<C> => {
  const [method = "", path = ""] = spec.split(" ")
  return { method, pattern: path.split("/"), query, handle }
}

export type Match<C> =
  | { readonly _tag: "Found"; readonly route: Route<C>; readonly parameters: Array<string> }
  | { readonly _tag: "NotFound" }
  | { readonly _tag: "MethodNotAllowed" }

export const match = <C>(
  routes: ReadonlyArray<Route<C>>,
  method: string,
  segments: ReadonlyArray<string>
): Match<C> => {
  const fitting = routes.filter(({ pattern }) =>
    pattern.length === segments.length &&
    pattern.every((part, index) => part.startsWith(":") ? segments[index] !== "" : part === segments[index])
  )
  const found = fitting.find((candidate) => candidate.method === method)
  if (found === undefined) return { _tag: fitting.length === 0 ? "NotFound" : "MethodNotAllowed" }
  const parameters = found.pattern.flatMap((part, index) => part.startsWith(":") ? [decode(segments[index] ?? "")] : [])
  return parameters.includes(undefined)
    ? { _tag: "NotFound" }
    : { _tag: "Found", route: found, parameters: parameters.filter((value) => value !== undefined) }
}

const decode = (segment: string): string | undefined => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
