/** Checks responses against an OpenAPI 3.0 document. */
import { Ajv, type ErrorObject } from "ajv"
import formats from "ajv-formats"
import * as fs from "node:fs"
import { parse } from "yaml"

export interface Received {
  readonly status: number
  readonly contentType: string
  readonly text: string
}

interface Response {
  readonly content?: Record<string, { readonly schema: object }>
}

interface Document {
  readonly info: { readonly title: string; readonly version: string }
  readonly servers: ReadonlyArray<{ readonly url: string }>
  readonly paths: Record<string, Record<string, { readonly responses: Record<string, Response> }>>
}

/** `GET organizations/:o` and `GET organizations/{organizationId}` are the same. */
const shapeOf = (operation: string) => operation.replace(/\{[^}]+\}|:\w+/g, "*")

export const load = (path: string) => {
  const document = closed(parse(fs.readFileSync(path, "utf8"))) as Document
  const ajv = new Ajv({ allErrors: true, strict: false, logger: false })
  formats.default(ajv)
  ajv.addSchema(document, "openapi")
  const operations = new Map(
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => {
        const pointer = `/paths/${escape(path)}/${method}/responses`
        return [shapeOf(`${method.toUpperCase()} ${path.slice(1)}`), { pointer, responses }] as const
      })
    )
  )

  const wrongBody = (pointer: string, text: string): ReadonlyArray<string> => {
    const validate = ajv.compile({ $ref: `openapi#${pointer}` })
    let body: unknown
    try {
      body = JSON.parse(text)
    } catch {
      return ["the body is not JSON"]
    }
    return validate(body) ? [] : (validate.errors ?? []).map(describe)
  }

  return {
    title: `${document.info.title} ${document.info.version}`,
    /** The path of the API: `/platform/v1beta1`. */
    base: new URL(document.servers[0]?.url ?? "").pathname,
    /** What is wrong with the response of an operation. */
    disagreements: (operation: string, { contentType, status, text }: Received): ReadonlyArray<string> => {
      const known = operations.get(shapeOf(operation))
      if (known === undefined) return ["the document has no such operation"]
      const declared = [String(status), `${Math.floor(status / 100)}XX`].find((code) => code in known.responses)
      if (declared === undefined) return [`the status is not declared: ${Object.keys(known.responses).join(", ")}`]
      const { content } = known.responses[declared] ?? {}
      if (content === undefined) return text === "" ? [] : ["the document has no body here"]
      const type = contentType.split(";")[0]?.trim() ?? ""
      if (!(type in content)) return [`the content type is not declared: ${Object.keys(content).join(", ")}`]
      return wrongBody(`${known.pointer}/${declared}/content/${escape(type)}/schema`, text)
    },
    /** The same for an error response that belongs to no operation. */
    error: ({ text }: Received): ReadonlyArray<string> => wrongBody("/components/schemas/Error", text)
  }
}

const escape = (key: string) => encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"))

const describe = ({ instancePath, message, params }: ErrorObject) =>
  `${instancePath === "" ? "the body" : instancePath} ${message} ${JSON.stringify(params)}`

/** Forbids undeclared fields in every object, so that a field that only the emulator has is reported. */
const closed = (node: unknown): unknown => {
  if (Array.isArray(node)) return node.map(closed)
  if (typeof node !== "object" || node === null) return node
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value)]))
  const isOpen = copy.type === "object" && typeof copy.properties === "object" &&
    copy.additionalProperties === undefined
  return isOpen ? { ...copy, additionalProperties: false } : copy
}
