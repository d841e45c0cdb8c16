/**
 * One look at the cloud for all that wait: however many leases of a process wait for a status, it asks once.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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
  /** The next look, which begins after this call. The more of them follow each other, the longer each takes to come: 250 ms to 5 s. */
  readonly next: Effect.Effect<Seen, ProviderError>
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
    let delay = shortest
    let endedAt = 0

    const look = (waiting: Deferred.Deferred<Seen, ProviderError>) =>
      Effect.gen(function*() {
        yield* Effect.sleep(delay)
        coming = undefined
        const at = clock.unsafeCurrentTimeMillis()
        const exit = yield* Effect.exit(Effect.map(list, (all): Seen => new Map(all.map((one) => [one.id, one]))))
        if (exit._tag === "Success") last = { at, seen: exit.value }
        endedAt = clock.unsafeCurrentTimeMillis()
        yield* Deferred.done(waiting, exit)
      })
    const next = Effect.suspend(() => {
      if (coming !== undefined) return Deferred.await(coming)
      // who waits on asks again at once: a pause means that all of them had what they waited for
      const isFollowUp = clock.unsafeCurrentTimeMillis() - endedAt < shortest
      delay = isFollowUp ? Math.min(2 * delay, longest) : shortest
      const waiting = Deferred.unsafeMake<Seen, ProviderError>(fiberId)
      coming = waiting
      return Effect.zipRight(Effect.forkIn(look(waiting), scope), Deferred.await(waiting))
    })
    const fiberId = yield* Effect.fiberId
    return {
      next,
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
