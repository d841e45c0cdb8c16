import type { AirflowResource } from "@airflow-resource/core/AirflowResource"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import process from "node:process"
import { leased } from "./leased.js"
import { documented, print } from "./output.js"
import * as Resource from "./resource.js"
import * as Signals from "./signals.js"
import * as Usage from "./usage.js"

/** What the lease was for has ended before there was one. */
export class StdinClosed extends Schema.TaggedError<StdinClosed>("airflow-resource/StdinClosed")("StdinClosed", {}) {
  override get message(): string {
    return "stdin was closed before the Airflow was ready, and the lease lasts no longer than stdin. " +
      "Keep stdin open as long as you need the Airflow, or use --no-stdin and end the lease by a signal."
  }
}

export const lease: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("lease"), "print one line of JSON when it is ready")
    .summary("hold an Airflow until stdin closes")
    .description(
      "Leases an Airflow, prints how to reach it, and holds it until stdin closes or a signal arrives. A program in any " +
        "language starts this, reads one line of JSON, and closes the pipe at its end."
    )
    .option("--name <text>", "what the pool shows as the holder", Usage.text, "airflow-resource lease")
    .option("--no-stdin", "hold it until a signal arrives, whatever stdin is")
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource lease", "airflow-resource lease --json --name my-test"],
        exitCodes: {
          0: "given back",
          1: "no Airflow could be leased, or the lease was lost",
          130: "interrupted before it was ready"
        }
      })
    )
    .action(({ name, stdin, ...format }: Usage.Format & { readonly name: string; readonly stdin: boolean }) =>
      run(hold(name, stdin, Usage.isJson(format)))
    )

// internal

const hold = (name: string, readsStdin: boolean, asJson: boolean) =>
  Effect.gen(function*() {
    const closed = readsStdin ? yield* stdinClosed : Effect.never
    let isReady = false
    yield* Effect.raceFirst(
      leased(name, (resource) =>
        Effect.gen(function*() {
          isReady = true
          const signalled = yield* Deferred.make<void>()
          yield* Signals.handle(() => Deferred.unsafeDone(signalled, Effect.void))
          yield* print(asJson ? JSON.stringify(Resource.factsOf(resource)) : render(resource))
          yield* Effect.raceFirst(closed, Deferred.await(signalled))
        }).pipe(Effect.scoped)),
      Effect.flatMap(closed, () => isReady ? Effect.never : new StdinClosed())
    )
  }).pipe(documented(asJson))

const stdinClosed = Effect.map(Deferred.make<void>(), (closed) => {
  const end = () => Deferred.unsafeDone(closed, Effect.void)
  process.stdin.once("end", end).once("close", end).once("error", end).resume()
  return Deferred.await(closed)
})

/** Without the token: a terminal keeps what it shows. */
const render = ({ apiUrl, deploymentName, password, uiUrl, username }: AirflowResource) =>
  `${deploymentName} is yours until you press Ctrl-C, or stdin closes.

pages     ${uiUrl}
api       ${apiUrl}
user      ${username}
password  ${Redacted.value(password)}

For a token, use --json.`
