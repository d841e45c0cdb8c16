/**
 * The measured server in its own process, so that its work is not counted as the client's: an emulator with one Airflow
 * per runtime in the arguments. It prints how to reach them as one line of JSON. To every line of its input it prints
 * the requests since the last line. It ends with its input.
 */
import { Emulator } from "@airflow-resource/emulator"
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Redacted, Stream } from "effect"
import { createInterface } from "node:readline"
import type { Announcement } from "./emulated.js"

const speed = 1000

/**
 * Milliseconds of real time: long enough to be polled while it runs, and never near the moment of a poll at its end.
 */
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
    const body = await response.text()
    if (!response.ok) throw new Error(`the emulator did not create a deployment of runtime ${runtime}: ${body}`)
    const { webServerAirflowApiUrl } = JSON.parse(body) as { readonly webServerAirflowApiUrl: string }
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
  let printed = (yield* emulator.audit).requests.length
  const lines = Stream.fromAsyncIterable(createInterface({ input: process.stdin }), () => "the input failed" as const)
  yield* Stream.runForEach(lines, () =>
    Effect.map(emulator.audit, ({ requests }) => {
      print(requests.slice(printed).map(({ method, path }) => `${method} ${path}`))
      printed = requests.length
    }))
}).pipe(Effect.scoped, NodeRuntime.runMain)
