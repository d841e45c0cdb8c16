// Run as a process: leases again and again, writes all the time, even after a lease was lost, and prints what it held
// and when. It exits when its input ends, so it cannot outlive its parent.
import { NodeContext } from "@effect/platform-node"
import type { AirflowResource as Resource } from "airflow-resource"
import { AirflowResource, AirflowResources, Settings } from "airflow-resource"
import { Cause, Effect, Exit, Logger, Option, Random, Redacted } from "effect"
import { setTimeout as sleep } from "node:timers/promises"
import { variableOf } from "./checker.js"
import * as Failpoint from "./failpoint.js"
import type { Lease, Line, Orders } from "./processes.js"

const orders = JSON.parse(process.env["CHAOS"] ?? "{}") as Orders
const print = (line: Line) => void process.stdout.write(`${JSON.stringify(line)}\n`)

/** Writes until its token is refused, whether or not the lease has ended. No real test would do this. */
const write = async (lease: Lease, { apiHeaders, apiUrl }: Resource.AirflowResource) => {
  const { Authorization } = Redacted.value(apiHeaders)
  const send = async (path: string, request: RequestInit) => {
    const response = await fetch(`${apiUrl}/variables${path}`, request)
    await response.arrayBuffer()
    return response.status
  }
  const add = (key: string) =>
    send("", {
      method: "POST",
      headers: { Authorization, "content-type": "application/json" },
      body: JSON.stringify({ key, value: "x" })
    })
  const del = (key: string) => send(`/${key}`, { method: "DELETE", headers: { Authorization } })
  const until = Date.now() + (orders.writeFor ?? 10_000)
  for (let count = 0; Date.now() < until; count++) {
    // the first variable is left behind: the next lease must not find it
    const key = count === 0 ? `left_by_${lease.epoch}` : variableOf(lease.slot, lease.epoch, count)
    // a connection may have broken while the process was stopped
    const status = await (count === 0 ? add(key) : add(key).then(() => del(key))).catch(() => 0)
    if (status === 401) return print({ ...lease, _tag: "Refused", at: Date.now() })
    // the deployment is hibernating or deleted, and may become available again
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
        spec: runtimeVersion === undefined || spec === undefined ? undefined : { ...spec, runtimeVersion }
      },
      (resource) =>
        Effect.gen(function*() {
          const { deploymentId, deploymentName, epoch, leaseId } = resource
          const slot = Number(/-s(\d+)-g\d+$/.exec(deploymentName)?.[1])
          const facts: Lease = { leaseId, deploymentId, slot, epoch }
          print({ ...facts, _tag: "Ready", at: Date.now() })
          const check = Effect.map(Effect.option(resource.airflow.variables.list), (variables) => {
            const keys = Option.getOrElse(variables, () => []).map(({ key }) => key)
            print({ _tag: "Found", slot, epoch, at: Date.now(), keys: keys.filter((key) => !isOwn(facts, key)) })
          })
          yield* check
          void write(facts, resource)
          yield* Effect.sleep(yield* Random.nextIntBetween(orders.hold[0], orders.hold[1] + 1))
          yield* check
          print({ ...facts, _tag: "Done", at: Date.now() })
          return facts
        })
    ))
    if (Exit.isSuccess(exit)) return print({ ...exit.value, _tag: "Released", at: Date.now() })
    if (Cause.isInterruptedOnly(exit.cause)) return
    const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
    const isExpected = error !== undefined && ["LeaseLost", "AcquireTimeout", "TicketEnded"].includes(error._tag)
    print({
      _tag: isExpected ? "Expected" : "Failed",
      at: Date.now(),
      error: error?._tag ?? "Defect",
      message: Cause.pretty(exit.cause)
    })
  })

const inputEnded = Effect.async<void>((resume) => {
  process.stdin.once("end", () => resume(Effect.void)).resume()
})

const settings = await Effect.runPromise(Effect.provide(Settings.load(process.cwd()), NodeContext.layer))
const spec = settings.provider._tag === "AstroApi" ? settings.provider.spec : undefined
const layers = orders.failpoint === undefined
  ? AirflowResources.layer(settings, orders.pool)
  : Failpoint.layer(settings, orders.pool, orders.failpoint)
let count = 0
await Effect.repeat(Effect.suspend(() => lease(count++)), { until: () => count === orders.leases }).pipe(
  Effect.raceFirst(inputEnded),
  // stdout is for the lines that the parent reads
  Effect.provide([layers, Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))]),
  Effect.runPromise
)
// do not wait for leases that still write
process.exit()
