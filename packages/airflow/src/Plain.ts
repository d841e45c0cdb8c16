/**
 * What Effect's data types and functions become for code that does not use Effect.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * A value without Effect's data types. Facts are copied, and read-only:
 *
 * - `Option<A>` becomes `A | undefined`
 * - `DateTime` becomes `Date`, and `Duration` the number of its milliseconds
 * - `Redacted<A>` becomes `A`. As a member of an object it is not enumerable, so that nothing prints it by accident
 * - an effect becomes a function that runs it and returns a promise
 * - a function that returns an effect or a stream returns a promise or an async iterable
 *
 * @since 0.1.0
 * @category models
 */
export type Plain<A> = unknown extends A ? A
  : A extends Option.Option<infer B> ? Plain<B> | undefined
  : A extends Redacted.Redacted<infer B> ? B
  : A extends DateTime.DateTime ? Date
  : A extends Duration.Duration ? number
  : A extends Primitive ? A
  : A extends Effect.Effect<infer B, infer _E, infer _R> ? () => Promise<Plain<B>>
  : A extends (...args: infer Args) => infer Result ? (...args: Argument<Args>) => PlainResult<Result>
  : { readonly [Name in keyof A]: Plain<A[Name]> }

/**
 * What a plain function accepts where the original accepts `A`: a `Date` for a `DateTime`, the value itself for a
 * `Redacted`, a function for a function that returns an effect, and what another plain function has returned.
 *
 * @since 0.1.0
 * @category models
 */
export type Argument<A> = unknown extends A ? A
  : A extends Option.Option<infer B> ? Plain<B> | undefined
  : A extends Redacted.Redacted<infer B> ? A | B
  : A extends DateTime.DateTime ? A | Date
  : A extends Duration.Duration | Primitive ? A
  : A extends (...args: infer Args) => Effect.Effect<infer B> ? (...args: Plain<Args>) => B | PromiseLike<B>
  : { [Name in keyof A]: Argument<A[Name]> }

/**
 * How plain functions run their effects.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Once it fails, every call fails with the same error, without running its effect, and every running effect is
   * interrupted [it never fails].
   */
  readonly ended?: Deferred.Deferred<never, unknown> | undefined
}

/**
 * Converts facts and effects. Functions in `value` stay as they are: for them there is {@link operation}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = <A>(value: A, options: Options = {}): Plain<A> => convert(value, options) as Plain<A>

/**
 * The original of what {@link from} has returned, for a function that needs it, or the value itself.
 *
 * @since 0.1.0
 * @category accessors
 */
export const original = (value: unknown): unknown =>
  (Predicate.isObject(value) ? originals.get(value) : undefined) ?? value

/**
 * Runs an effect for the caller of a function. The promise is rejected with the effect's own error, and the error's
 * stack begins with the line that called the function.
 *
 * @since 0.1.0
 * @category combinators
 */
export const run = <A, E>(
  self: Effect.Effect<A, E>,
  called: (...args: never) => unknown,
  options: Options = {}
): Promise<A> => runAt(self, framesAbove(called), options)

/**
 * A function that calls `f` and runs the effect or the stream that it returns. A promise is rejected with the effect's
 * own error, and the error's stack begins with the line of the call.
 *
 * @since 0.1.0
 * @category constructors
 */
export const operation = <Args extends ReadonlyArray<unknown>>(
  f: (...args: Args) => unknown,
  options: Options = {}
): (...args: Args) => unknown => {
  const call = (...args: Args): unknown => {
    const frames = framesAbove(call)
    const result = f(...args)
    if (Effect.isEffect(result)) return promise(result as Effect.Effect<unknown, unknown>, frames, options)
    if (Predicate.hasProperty(result, Stream.StreamTypeId)) {
      return iterate(result as Stream.Stream<unknown, unknown>, frames, options)
    }
    return convert(result, options)
  }
  return call
}

// internal

type Primitive = string | number | bigint | boolean | symbol | null | undefined

/** An effect is a stream too. */
type PlainResult<A> = A extends Effect.Effect<infer B, infer _E, infer _R> ? Promise<Plain<B>>
  : A extends Stream.Stream<infer B, infer _E, infer _R> ? AsyncIterable<Plain<B>>
  : Plain<A>

/** What was converted, by the result. */
const originals = new WeakMap<object, object>()

const convert = (value: unknown, options: Options): unknown => {
  // an Option is an effect too
  if (Option.isOption(value)) return convert(Option.getOrUndefined(value), options)
  if (DateTime.isDateTime(value)) return DateTime.toDateUtc(value)
  if (Duration.isDuration(value)) return Duration.toMillis(value)
  if (Redacted.isRedacted(value)) return Redacted.value(value)
  if (Effect.isEffect(value)) return operation(() => value, options)
  if (Array.isArray(value)) return remember(value, value.map((item) => convert(item, options)))
  return isRecord(value) ? remember(value, Object.create(Object.prototype, convertMembers(value, options))) : value
}

const remember = (value: object, converted: object) => {
  originals.set(converted, value)
  return converted
}

const convertMembers = (value: object, options: Options): PropertyDescriptorMap =>
  Object.fromEntries(
    Object.getOwnPropertyNames(value).map((name) => {
      const member: unknown = Reflect.get(value, name)
      const enumerable = Object.prototype.propertyIsEnumerable.call(value, name) && !Redacted.isRedacted(member)
      return [name, { value: convert(member, options), enumerable }]
    })
  )

const isRecord = (value: unknown): value is object =>
  Predicate.isRecord(value) && [Object.prototype, null].includes(Object.getPrototypeOf(value))

/** The lines of the stack above the call of a function. They are only formatted when they are read. */
const framesAbove = (called: (...args: never) => unknown): () => string => {
  const here: { stack?: string } = {}
  Error.captureStackTrace(here, called)
  return () => (here.stack ?? "").replace(/^.*\n?/, "")
}

const promise = async (self: Effect.Effect<unknown, unknown>, frames: () => string, options: Options) =>
  convert(await runAt(self, frames, options), options)

const runAt = async <A>(self: Effect.Effect<A, unknown>, frames: () => string, { ended }: Options): Promise<A> => {
  const exit = await Effect.runPromiseExit(ended === undefined ? self : unlessEnded(self, ended))
  if (Exit.isSuccess(exit)) return exit.value
  throw at(Cause.originalError(Cause.squash(exit.cause)), frames)
}

const unlessEnded = <A>(self: Effect.Effect<A, unknown>, ended: Deferred.Deferred<never, unknown>) =>
  Effect.flatMap(Deferred.poll(ended), Option.getOrElse(() => Effect.raceFirst(self, Deferred.await(ended))))

/** Gives an error the stack of the call: its own shows the inside of this library. A defect keeps its stack. */
const at = (error: unknown, frames: () => string): unknown => {
  if (error instanceof Error && Predicate.hasProperty(error, "_tag")) {
    error.stack = `${error.name}: ${error.message}\n${frames()}`
  }
  return error
}

async function* iterate(self: Stream.Stream<unknown, unknown>, frames: () => string, options: Options) {
  const scope = Effect.runSync(Scope.make())
  try {
    const pull = await Effect.runPromise(Scope.extend(Stream.toPull(self), scope))
    const next = Effect.catchAll(
      Effect.asSome(pull),
      Option.match({ onNone: () => Effect.succeedNone, onSome: Effect.fail })
    )
    for (;;) {
      const chunk = await runAt(next, frames, options)
      if (Option.isNone(chunk)) return
      for (const item of chunk.value) yield convert(item, options)
    }
  } finally {
    await Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
