/** Requests and responses as values, and route tables. The emulated APIs know nothing else about HTTP. */
import type { IncomingHttpHeaders } from "node:http"

export interface Request {
  readonly method: string
  /** Path and query as they arrived, not decoded. */
  readonly target: string
  readonly segments: ReadonlyArray<string>
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | StreamingBody
  /** Compresses the body. A streaming body is sent as a whole at its end, or part by part. */
  readonly gzip?: "whole" | "streamed"
}

/** A body that grows: `next` is called at this interval, until it returns the last part. */
export interface StreamingBody {
  readonly intervalMillis: number
  readonly next: (now: number) => { readonly text: string; readonly isLast: boolean }
}

export const parse = (method: string, target: string, headers: IncomingHttpHeaders, body: string): Request => {
  const at = target.indexOf("?")
  const path = at < 0 ? target : target.slice(0, at)
  return {
    method,
    target,
    // segments are decoded one by one, because a segment may contain an encoded slash
    segments: path.split("/").slice(1),
    query: new URLSearchParams(at < 0 ? "" : target.slice(at + 1)),
    headers,
    body
  }
}

/** The same request without the first `depth` segments, for handlers that are mounted below them. */
export const withoutPrefix = (request: Request, depth: number): Request => ({
  ...request,
  segments: request.segments.slice(depth)
})

export const response = (
  status: number,
  contentType: string,
  body: string,
  headers: Record<string, string> = {}
): Response => ({
  status,
  headers: { "content-type": contentType, ...headers },
  body
})

export const json = (status: number, body: unknown, headers: Record<string, string> = {}): Response =>
  response(status, "application/json", `${JSON.stringify(body, null, 2)}\n`, headers)

export const noContent = (headers: Record<string, string> = {}): Response => ({ status: 204, headers, body: "" })

/** The page of a gateway in front of the real service. */
export const gatewayPage = (status: number): Response =>
  response(
    status,
    "text/html",
    `<html>\r\n<head><title>${status}</title></head>\r\n<body>\r\n<center><h1>${status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`
  )

/** Thrown to end a handler with this response. */
export class Halt extends Error {
  readonly response: Response
  constructor(response: Response) {
    super(`responded with ${response.status}`)
    this.response = response
  }
}

/** Returns the handler's response, or the one that it was ended with by a {@link Halt}. */
export const catchHalt = (handle: () => Response): Response => {
  try {
    return handle()
  } catch (error) {
    if (error instanceof Halt) return error.response
    throw error
  }
}

/** The token of `Authorization: Bearer …` (GitHub's `token …` as well). */
export const bearerToken = (headers: IncomingHttpHeaders): string | undefined =>
  /^(?:bearer|token)\s+(\S+)$/i.exec(headers.authorization ?? "")?.[1]

export type Json = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The text parsed as JSON; `undefined` if it is not JSON. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `handle` gets the decoded values of the `:parameters`, in order. `query` lists the known query parameters. */
export interface Route<C> {
  readonly method: string
  readonly pattern: ReadonlyArray<string>
  readonly query: ReadonlyArray<string>
  readonly handle: (call: C, ...parameters: Array<string>) => Response
}

/** For example `route("GET dags/:dagId", handler, ["fields"])`. */
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
  const candidates = routes.filter(({ pattern }) =>
    pattern.length === segments.length &&
    pattern.every((part, index) => part.startsWith(":") ? segments[index] !== "" : part === segments[index])
  )
  const found = candidates.find((candidate) => candidate.method === method)
  if (found === undefined) return { _tag: candidates.length === 0 ? "NotFound" : "MethodNotAllowed" }
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
