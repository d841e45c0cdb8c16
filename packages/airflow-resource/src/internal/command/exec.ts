import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import process from "node:process"
import * as Failure from "./failure.js"
import { leased } from "./leased.js"
import { say } from "./output.js"
import * as Resource from "./resource.js"
import * as Signals from "./signals.js"
import * as Usage from "./usage.js"

/** There is no such program. */
export class ProgramNotFound
  extends Schema.TaggedError<ProgramNotFound>("airflow-resource/ProgramNotFound")("ProgramNotFound", {
    program: Schema.String
  })
{
  override get message(): string {
    return `There is no program ${this.program}. Write its path, or put its folder on the PATH.`
  }
}

/** The program could not be started. */
export class ProgramNotStarted
  extends Schema.TaggedError<ProgramNotStarted>("airflow-resource/ProgramNotStarted")("ProgramNotStarted", {
    program: Schema.String,
    problem: Schema.String
  })
{
  override get message(): string {
    return `${this.program} cannot be started (${this.problem}). Is it a program, and may you run it?`
  }
}

export const exec: Usage.Subcommand = (parent, run) =>
  parent.command("exec")
    .summary("run a program with a leased Airflow")
    .description(
      "Leases an Airflow, runs a program that finds it in its environment, and gives it back when the program has " +
        "ended, whatever the reason. Ends with the program's exit code."
    )
    .argument("<program>", "what to run; write -- before it", Usage.text)
    .argument("[args...]", "its arguments")
    .option("--name <text>", "what the pool shows as the holder (default: the program's name)", Usage.text)
    .passThroughOptions()
    .addHelpText(
      "after",
      Usage.footer({
        examples: [
          "airflow-resource exec -- ./load-test.sh --fast",
          `airflow-resource exec --name "load test" -- sh -c 'echo "$AIRFLOW_API_URL"'`
        ],
        variables: {
          "AIRFLOW_API_URL": "the address of the Airflow",
          "AIRFLOW_AUTH_TOKEN": "a token for its API, valid until the end",
          "AIRFLOW_RESOURCE_FILE": "a file with all that is known of the lease, as JSON",
          "AIRFLOW_RESOURCE_*": "each of these: _API_URL, _DEPLOYMENT_NAME, _UI_URL, ..."
        },
        exitCodes: {
          "125": "no Airflow could be leased, or the lease was lost",
          "126": "the program cannot be started",
          "127": "there is no such program",
          "128+n": "signal n has ended the program"
        }
      })
    )
    .action((
      program: string,
      args: ReadonlyArray<string>,
      { name = path.basename(program) }: { readonly name?: string }
    ) =>
      run(
        Effect.zipRight(
          // before it takes minutes to get an Airflow for it
          ensureExecutable(program),
          leased(name, (resource) =>
            Effect.gen(function*() {
              const facts = Resource.factsOf(resource)
              // beside the project, which a deploy would send to Astro; deleted with it, after kill -9 by the next lease
              const file = path.join(path.dirname(resource.projectDirectory), "lease.json")
              yield* Effect.sync(() => fs.writeFileSync(file, JSON.stringify(facts), { mode: 0o600 }))
              return yield* Effect.scoped(child(program, args, Resource.variablesOf(facts, file)))
            }))
        ).pipe(
          Effect.flatMap((exitCode) => exitCode === 0 ? Effect.void : new Failure.Exit({ exitCode }))
        ),
        { ProgramNotFound: 127, ProgramNotStarted: 126, otherwise: 125 }
      )
    )

// internal

const ensureExecutable = (program: string) =>
  Effect.gen(function*() {
    const folders = program.includes("/") ? [""] : (process.env["PATH"] ?? "").split(":").map((one) => `${one}/`)
    const files = folders.map((folder) => `${folder}${program}`).filter((file) => fs.existsSync(file))
    if (files.length === 0) return yield* new ProgramNotFound({ program })
    if (!files.some(isExecutable)) return yield* new ProgramNotStarted({ program, problem: "it is not executable" })
  })

const isExecutable = (file: string) => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

/** Runs the program to its end, and returns its exit code. An interruption ends it. */
const child = (program: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const ended = yield* Deferred.make<number, ProgramNotStarted>()
    const signals = yield* Queue.unbounded<Signals.Signal>()
    yield* Signals.handle((signal) => signals.unsafeOffer(signal))
    const started = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(program, args, { stdio: "inherit", env: { ...process.env, ...env } })
          .once("error", ({ code, message }: NodeJS.ErrnoException) => {
            const problem = code === "ENOENT" ? "its first line names an interpreter that is not there" : message
            Deferred.unsafeDone(ended, new ProgramNotStarted({ program, problem }))
          })
          .once("exit", (code, signal) => {
            Deferred.unsafeDone(ended, Effect.succeed(code ?? 128 + os.constants.signals[signal!]))
          })
      ),
      (started) =>
        Effect.gen(function*() {
          if (yield* Deferred.isDone(ended)) return
          yield* say(`ending ${program}`)
          started.kill("SIGTERM")
          yield* Effect.timeoutOption(Deferred.await(ended), "10 seconds")
          started.kill("SIGKILL")
          yield* Deferred.await(ended)
        }).pipe(Effect.ignore)
    )
    const kill = Effect.sync(() => started.kill("SIGKILL"))
    yield* Effect.forkScoped(Effect.gen(function*() {
      for (let received = 1;; received++) {
        const signal = yield* Queue.take(signals)
        // the terminal sends it to the program too
        if (signal !== "SIGINT" || !isOnTerminal) started.kill(signal)
        if (signal !== "SIGINT") yield* Effect.forkScoped(Effect.delay(kill, "30 seconds"))
        if (received > 2) yield* kill
      }
    }))
    return yield* Deferred.await(ended)
  })

const isOnTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY
