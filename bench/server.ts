/**
 * The measured side in a process of its own, so that none of its work is counted as ours: an emulator with one Airflow for each
 * runtime that the arguments name. Prints how to reach them as one line of JSON; answers every line of its input with the requests
 * that have come since, and ends with its input.
 */
import { Emulator } from "@airflow-resource/emulator"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Redacted, Stream } from "effect"
import { createInterface } from "node:readline"
import type { Announcement } from "./emulated.js"

const speed = 1000

/** In real time. Long enough to be seen running, and to end far from the moment of any poll. */
const slow = 2750

const dags = [
  { dagId: "hello_world_dag", tasks: [{ taskId: "hello", log: "Hello World from Airflow" }] },
  { dagId: "slow_dag", tasks: [{ taskId: "wait", duration: slow * speed, log: "done" }] }
]

const print = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)

const deploy = (emulator: Emulator.Service, runtime: string): Promise<string> =>
  fetch(`${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}/deployments`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${Redacted.value(emulator.astroToken)}`,
      "content-type": "application/json"
    },
    body: JSON.stringify({
      name: `bench ${runtime}`,
      workspaceId: emulator.workspaceId,
      isDevelopmentMode: true,
      astroRuntimeVersion: runtime,
      cloudProvider: "AWS",
      region: "us-east-1"
    })
  }).then(async (response) => {
    const answer = await response.text()
    if (!response.ok) throw new Error(`no deployment of the runtime ${runtime}: ${answer}`)
    const { webServerAirflowApiUrl } = JSON.parse(answer) as { readonly webServerAirflowApiUrl: string }
    return webServerAirflowApiUrl.replace(/^(?!https?:)/, "http://").replace(/\/api\/v\d$/, "")
  })

Effect.gen(function*() {
  const emulator = yield* Emulator.make({ speed, dags })
  const urls = yield* Effect.forEach(
    process.argv.slice(2),
    (runtime) => Effect.promise(() => deploy(emulator, runtime))
  )
  const announcement: Announcement = { token: Redacted.value(emulator.astroToken), urls }
  print(announcement)
  let told = (yield* emulator.audit).requests.length
  const lines = Stream.fromAsyncIterable(createInterface({ input: process.stdin }), () => "the input broke" as const)
  yield* Stream.runForEach(lines, () =>
    Effect.map(emulator.audit, ({ requests }) => {
      print(requests.slice(told).map(({ method, path }) => `${method} ${path}`))
      told = requests.length
    }))
}).pipe(Effect.scoped, NodeRuntime.runMain)
