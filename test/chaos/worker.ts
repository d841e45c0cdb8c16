// A process of its own: leases again and again, writes all the time, also when it should not any more, and says when it held what.
// It ends when its input does: nothing here outlives its parent.
import { NodeContext } from "@effect/platform-node"
import type { AirflowResource as Resource } from "airflow-resource"
import { AirflowResource, AirflowResources, Settings } from "airflow-resource"
import { Cause, Effect, Exit, Logger, Option, Random, Redacted } from "effect"
import { setTimeout as sleep } from "node:timers/promises"
import { variableOf } from "./checker.js"
import * as Failpoint from "./failpoint.js"
import type { Lease, Line, Orders } from "./processes.js"

const orders = JSON.parse(process.env["CHAOS"] ?? "{}") as Orders
const say = (line: Line) => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** No test would do this: its requests take no notice of the end of the lease, until the token is refused. */
const write = async (lease: Lease, { apiHeaders, apiUrl }: Resource.AirflowResource) => {
  const { Authorization } = Redacted.value(apiHeaders)
  const send = async (path: string, request: RequestInit) => {
    const answer = await fetch(`${apiUrl}/variables${path}`, request)
    await answer.arrayBuffer()
    return answer.status
  }
  const add = (key: string) =>
    send("", {
      method: "POST",
      headers: { Authorization, "content-type": "application/json" },
      body: JSON.stringify({ key, value: "x" })
    })
  const remove = (key: string) => send(`/${key}`, { method: "DELETE", headers: { Authorization } })
  const until = Date.now() + 10_000
  for (let count = 0; Date.now() < until; count++) {
    // the first is left for the next lease to find
    const key = count === 0 ? `left_by_${lease.epoch}` : variableOf(lease.slot, lease.epoch, count)
    // a connection may break, in which the process was stopped
    const status = await (count === 0 ? add(key) : add(key).then(() => remove(key))).catch(() => 0)
    if (status === 401) return say({ ...lease, _tag: "Refused", at: Date.now() })
    // asleep, or gone: perhaps it comes back
    await sleep(status < 300 ? orders.writeEvery : 50)
  }
}

const isOwn = ({ epoch, slot }: Lease, key: string) =>
  key === `left_by_${epoch}` || key.startsWith(variableOf(slot, epoch, 0).slice(0, -1))

const lease = (count: number) =>
  Effect.gen(function*() {
    const runtimeVersion = orders.runtimes?.[count % orders.runtimes.length]
    const exit = yield* Effect.exit(AirflowResource.use(
      {
        testName: `process ${process.pid}`,
        spec: runtimeVersion === undefined ? undefined : { ...spec, runtimeVersion }
      },
      (resource) =>
        Effect.gen(function*() {
          const { deploymentId, deploymentName, epoch, leaseId } = resource
          const slot = Number(/-s(\d+)-g\d+$/.exec(deploymentName)?.[1])
          const facts: Lease = { leaseId, deploymentId, slot, epoch }
          say({ ...facts, _tag: "Ready", at: Date.now() })
          const look = Effect.map(Effect.option(resource.airflow.variables.list), (seen) => {
            const keys = Option.getOrElse(seen, () => []).map(({ key }) => key)
            say({ _tag: "Found", slot, epoch, at: Date.now(), keys: keys.filter((key) => !isOwn(facts, key)) })
          })
          yield* look
          void write(facts, resource)
          yield* Effect.sleep(yield* Random.nextIntBetween(orders.hold[0], orders.hold[1] + 1))
          yield* look
          say({ ...facts, _tag: "Done", at: Date.now() })
          return facts
        })
    ))
    if (Exit.isSuccess(exit)) return say({ ...exit.value, _tag: "Released", at: Date.now() })
    if (Cause.isInterruptedOnly(exit.cause)) return
    const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
    const isExpected = error !== undefined && ["LeaseLost", "AcquireTimeout", "TicketEnded"].includes(error._tag)
    say({
      _tag: isExpected ? "Expected" : "Failed",
      at: Date.now(),
      error: error?._tag ?? "Defect",
      message: Cause.pretty(exit.cause)
    })
  })

const told = Effect.async<void>((resume) => {
  process.stdin.once("end", () => resume(Effect.void)).resume()
})

const settings = await Effect.runPromise(Effect.provide(Settings.load(process.cwd()), NodeContext.layer))
if (settings.provider._tag !== "AstroApi") throw new Error("not over REST")
const { spec } = settings.provider
const layers = orders.failpoint === undefined
  ? AirflowResources.layer(settings, orders.pool)
  : Failpoint.layer(settings, orders.pool, orders.failpoint)
let count = 0
await Effect.repeat(Effect.suspend(() => lease(count++)), { until: () => count === orders.leases }).pipe(
  Effect.raceFirst(told),
  // lines are for the parent
  Effect.provide([layers, Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))]),
  Effect.runPromise
)
// who still writes does not hold it up
process.exit()
