/** Shares each listing of the workspace among all waits of a process: however many leases wait, there is one poll at a time. */
import * as Polling from "@airflow-resource/airflow/Polling"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Deployment, DeploymentId } from "../../Deployment.js"
import type { ProviderError } from "../../DeploymentProvider.js"

/** The workspace's deployments by id. */
export type Listing = ReadonlyMap<DeploymentId, Deployment>

export interface DeploymentWatch {
  /**
   * Polls until `f` returns something: at once, then after 250 milliseconds, then at growing intervals. A wait that begins while others
   * are going on joins them.
   */
  readonly until: <A, E, R>(
    f: (listing: Listing) => Effect.Effect<Option.Option<A>, E, R>
  ) => Effect.Effect<A, E | ProviderError, R>
  /** The last listing if it is younger than `age`, else the next one. */
  readonly within: (age: Duration.DurationInput) => Effect.Effect<Listing, ProviderError>
}

export const make = (
  list: Effect.Effect<ReadonlyArray<Deployment>, ProviderError>,
  longestPoll: Duration.DurationInput
): Effect.Effect<DeploymentWatch, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clock = yield* Effect.clock
    let pending: Deferred.Deferred<Listing, ProviderError> | undefined
    let last: { readonly at: number; readonly listing: Listing } | undefined
    let delay = 0
    let waits = 0

    const poll = (result: Deferred.Deferred<Listing, ProviderError>) =>
      Effect.gen(function*() {
        yield* Effect.sleep(delay)
        pending = undefined
        delay = waits === 0 ? 0 : Math.min(Math.max(2 * delay, shortest), Duration.toMillis(longestPoll))
        const at = clock.unsafeCurrentTimeMillis()
        const exit = yield* Effect.exit(Effect.map(list, (all): Listing => new Map(all.map((one) => [one.id, one]))))
        if (exit._tag === "Success") last = { at, listing: exit.value }
        yield* Deferred.done(result, exit)
      }).pipe(Effect.withTracerEnabled(false))
    const next = Effect.suspend(() => {
      if (pending !== undefined) return Deferred.await(pending)
      pending = Deferred.unsafeMake<Listing, ProviderError>(FiberId.none)
      return Effect.zipRight(Effect.forkIn(poll(pending), scope), Deferred.await(pending))
    })
    return {
      until: (f) =>
        Effect.acquireUseRelease(
          Effect.sync(() => void (waits += 1)),
          () => Polling.untilSome(Effect.flatMap(next, f), Schedule.forever),
          () =>
            Effect.sync(() => {
              waits -= 1
              if (waits === 0) delay = 0
            })
        ),
      within: (age) =>
        Effect.suspend(() =>
          last !== undefined && clock.unsafeCurrentTimeMillis() - last.at < Duration.toMillis(age)
            ? Effect.succeed(last.listing)
            : next
        )
    }
  })

// internal

/** Milliseconds. */
const shortest = 250
