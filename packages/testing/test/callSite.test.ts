import { airflowTest } from "@airflow-resource/testing"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, Offline } from "airflow-resource"
import { Cause, Effect, Exit } from "effect"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(import.meta.url)

/** The stack of the error with which an effect ends, as @effect/vitest prints it. */
const stackOf = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.map(Effect.exit(self), (exit) => {
    const [error] = Exit.isFailure(exit) ? Cause.prettyErrors(exit.cause) : []
    return error?.stack ?? ""
  })

/** No lease is ever ready. */
const tooLate = Offline.layerOffline({ pool: { acquireTimeout: 0 } })

/** As JavaScript would, or a test whose types were not checked. */
const unprovided = <A, E, R>(self: Effect.Effect<A, E, R>) => self as Effect.Effect<A, E>

describe("the stack of an error contains the line of the test", () => {
  it.effect("that called acquire or use", () =>
    Effect.gen(function*() {
      const acquire = Effect.scoped(Effect.suspend(() => AirflowResource.acquire({ testName: "a" })))
      const use = Effect.suspend(() => AirflowResource.use({ testName: "b" }, () => Effect.void))
      for (const leased of [acquire, use]) {
        const stack = yield* stackOf(Effect.provide(leased, tooLate))
        assert.match(stack, /^AcquireTimeout: /)
        assert.include(stack, `at AirflowResource (${here}:`)
      }
    }))

  it.scoped("that called the client", () =>
    Effect.gen(function*() {
      const { airflow } = yield* AirflowResource.acquire({ testName: "c" })
      const stack = yield* stackOf(Effect.suspend(() => airflow.runDag("no_such_dag")))
      assert.match(stack, /^AirflowApiError: /)
      assert.include(stack, `at Airflow.runDag (${here}:`)
    }).pipe(Effect.provide(Offline.layerOffline())))

  airflowTest("that was declared by airflowTest", () =>
    Effect.gen(function*() {
      assert.include(
        yield* stackOf(Effect.fail(new Cause.NoSuchElementException("in the body"))),
        `at airflowTest (${here}:`
      )
    }), { layer: Offline.layerOffline(), timeout: "1 minute" })
})

it.effect("a layer that is missing is named, with the line of the test and what to do", () =>
  Effect.gen(function*() {
    const acquire = Effect.scoped(Effect.suspend(() => AirflowResource.acquire({ testName: "d" })))
    const stack = yield* stackOf(unprovided(acquire))
    assert.match(
      stack,
      /no layer that provides .*DeploymentPool, .*DagDelivery, .*ProjectDirectory\. Provide one, such as/
    )
    assert.include(stack, `at AirflowResource (${here}:`)
  }))
