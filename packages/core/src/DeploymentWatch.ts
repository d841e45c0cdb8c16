/**
 * One look at the cloud for all that wait: however many leases of a process wait for a status, it asks once.
 *
 * @since 0.1.0
 */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Deployment, DeploymentId } from "./Deployment.js"
import type { ProviderError } from "./DeploymentProvider.js"

/**
 * The workspace's deployments by id.
 *
 * @since 0.1.0
 * @category models
 */
export type Seen = ReadonlyMap<DeploymentId, Deployment>

/**
 * @since 0.1.0
 * @category models
 */
export interface DeploymentWatch {
  /**
   * Looks until `f` has an answer: at once, then after 250 milliseconds, and ever more seldom, up to every five seconds. Who begins to
   * wait while others do joins them.
   */
  readonly until: <A, E, R>(
    f: (seen: Seen) => Effect.Effect<Option.Option<A>, E, R>
  ) => Effect.Effect<A, E | ProviderError, R>
  /** The last look where it is younger than that, the next one otherwise. */
  readonly within: (age: Duration.DurationInput) => Effect.Effect<Seen, ProviderError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  list: Effect.Effect<ReadonlyArray<Deployment>, ProviderError>
): Effect.Effect<DeploymentWatch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    let coming: Deferred.Deferred<Seen, ProviderError> | undefined
    let last: { readonly at: number; readonly seen: Seen } | undefined
    let delay = 0
    let waiters = 0

    const look = (waiting: Deferred.Deferred<Seen, ProviderError>) =>
      Effect.gen(function*() {
        yield* Effect.sleep(delay)
        coming = undefined
        delay = waiters === 0 ? 0 : Math.min(Math.max(2 * delay, shortest), longest)
        const at = clock.unsafeCurrentTimeMillis()
        const exit = yield* Effect.exit(Effect.map(list, (all): Seen => new Map(all.map((one) => [one.id, one]))))
        if (exit._tag === "Success") last = { at, seen: exit.value }
        yield* Deferred.done(waiting, exit)
      })
    const next = Effect.suspend(() => {
      if (coming !== undefined) return Deferred.await(coming)
      coming = Deferred.unsafeMake<Seen, ProviderError>(FiberId.none)
      return Effect.zipRight(Effect.forkIn(look(coming), scope), Deferred.await(coming))
    })
    return {
      until: (f) =>
        Effect.acquireUseRelease(
          Effect.sync(() => void (waiters += 1)),
          () => Polling.untilSome(Effect.flatMap(next, f), Schedule.forever),
          () =>
            Effect.sync(() => {
              waiters -= 1
              if (waiters === 0) delay = 0
            })
        ),
      within: (age) =>
        Effect.suspend(() =>
          last !== undefined && clock.unsafeCurrentTimeMillis() - last.at < Duration.toMillis(age)
            ? Effect.succeed(last.seen)
            : next
        )
    }
  })

// internal

/** Milliseconds. */
const shortest = 250
const longest = 5_000
