/**
 * Vitest counts the set-up of fixtures as a part of the test: in versions 3 to 5, the timeout of a test covers both.
 * Getting an Airflow may take minutes. So vitest gets a timeout that is long enough for everything, and the body has its
 * own.
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { TestContext } from "vitest"
import { BodyTimeout } from "../TestingError.js"
import * as RealTime from "./realTime.js"
import * as Worker from "./worker.js"

export interface Options {
  /** What vitest has to allow besides the body, in milliseconds. */
  readonly besides: number
  /** Called before the body. If it throws, the body does not run. */
  readonly check: (context: TestContext) => void
  /** Fails the test if it is rejected while the body runs. */
  readonly lost: (context: TestContext) => Promise<never>
}

/** The same `test`, with these timeouts, and so is all that is made of it. */
export const withBodyTimeout = <Test extends object>(test: Test, options: Options): Test => {
  const wrap = <A extends object>(api: A) => new Proxy(api, handler) as A as A
  const handler: ProxyHandler<object> = {
    apply: (api, self, args: ReadonlyArray<unknown>) =>
      Reflect.apply(callable(api), self, declare(args, 0, declarationAbove(handler.apply!), options)),
    get: (api, name) => {
      const value: unknown = Reflect.get(api, name)
      if (typeof value !== "function" || typeof name === "symbol") return value
      if (flags.has(name)) return wrap(value)
      if (makers.has(name)) return (...args: ReadonlyArray<unknown>) => wrap(Reflect.apply(value, api, args))
      if (name !== "for") return value
      return (...cases: ReadonlyArray<unknown>) => {
        const each = callable(Reflect.apply(value, api, cases))
        const declareEach = (...args: ReadonlyArray<unknown>) =>
          each(...declare(args, 1, declarationAbove(declareEach), options))
        return declareEach
      }
    }
  }
  return wrap(test)
}

// internal

/** Makes the stack of an error begin with the declaration of the test. */
type Declaration = (error: unknown) => unknown

type Callable = (...args: ReadonlyArray<unknown>) => unknown

const callable = (value: unknown) => value as Callable

const flags = new Set(["concurrent", "sequential", "only", "skip", "todo", "fails"])

const makers = new Set(["skipIf", "runIf", "extend", "override"])

/** The arguments of a declaration, `(name, body, timeout)` or `(name, options, body)`, with the timeout that vitest gets. */
const declare = (
  args: ReadonlyArray<unknown>,
  contextAt: number,
  declaration: Declaration,
  options: Options
): ReadonlyArray<unknown> => {
  const [name, ...rest] = args
  const body = rest.find((arg) => typeof arg === "function")
  if (body === undefined) return args
  const given: { readonly timeout?: number } = Object.assign(
    {},
    ...rest.map((arg) => typeof arg === "number" ? { timeout: arg } : typeof arg === "object" ? arg : {})
  )
  const timeout = given.timeout ?? Worker.timeoutOfTests()
  const isLimited = timeout > 0 && timeout < RealTime.longest
  return [
    name,
    { ...given, timeout: isLimited ? Math.min(timeout + options.besides, RealTime.longest) : 0 },
    limited(callable(body), contextAt, isLimited ? timeout : undefined, declaration, options)
  ]
}

const limited = (
  body: Callable,
  contextAt: number,
  timeout: number | undefined,
  declaration: Declaration,
  { check, lost }: Options
): Callable => {
  const run = async (...args: ReadonlyArray<unknown>) => {
    const context = args[contextAt] as { signal?: AbortSignal } & TestContext
    const fail = (error: unknown): never => {
      throw declaration(error)
    }
    try {
      check(context)
    } catch (error) {
      fail(error)
    }
    // vitest's own signal follows the timeout that vitest got
    const late = new AbortController()
    if (context.signal !== undefined) context.signal = AbortSignal.any([context.signal, late.signal])
    const isLate = new Promise<never>((_, reject) => {
      late.signal.addEventListener("abort", () => reject(late.signal.reason))
    })
    const timer = RealTime.after(timeout ?? RealTime.longest, () => {
      if (timeout !== undefined) late.abort(declaration(new BodyTimeout({ timeout: Duration.millis(timeout) })))
    })
    try {
      return await Promise.race([(async () => body(...args))(), isLate, lost(context).catch(fail)])
    } finally {
      timer.stop()
    }
  }
  // vitest reads in the text of a function which fixtures it uses
  return Object.assign(run, { toString: () => body.toString() })
}

const declarationAbove = (called: (...args: never) => unknown): Declaration => {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, called)
  return (error) => {
    // a defect's own stack shows where the fault is
    if (error instanceof Error && Predicate.hasProperty(error, "_tag")) {
      error.stack = `${error.name}: ${error.message}\n${(here.stack ?? "").replace(/^.*\n?/, "")}`
    }
    return error
  }
}
