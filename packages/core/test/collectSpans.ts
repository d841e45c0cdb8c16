import { Cause, Effect, Exit, Tracer } from "effect"
import { inspect } from "node:util"

/** A span, its parent by name. */
export interface Recorded {
  readonly name: string
  readonly parent: string | undefined
  readonly attributes: Readonly<Record<string, unknown>>
}

/** Runs an effect, and returns its result, its spans in the order in which they began, and everything in them as one text. */
export const collectSpans = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const spans: Array<Tracer.Span> = []
    const native = yield* Effect.tracer
    const tracer = Tracer.make({
      span: (...args) => {
        const span = native.span(...args)
        spans.push(span)
        return span
      },
      context: native.context
    })
    const result = yield* Effect.withTracer(self, tracer)
    const shown = spans.map((span) => {
      const { status } = span
      const cause = status._tag === "Ended" && Exit.isFailure(status.exit) ? Cause.pretty(status.exit.cause) : ""
      return `${inspect(span, { depth: 10 })} ${cause}`
    })
    return { result, spans: spans.map(recorded), text: shown.join("\n") }
  })

const recorded = ({ attributes, name, parent }: Tracer.Span): Recorded => ({
  name,
  parent: parent._tag === "Some" && parent.value._tag === "Span" ? parent.value.name : undefined,
  attributes: Object.fromEntries([...attributes].filter(([name]) => name !== "code.stacktrace"))
})
