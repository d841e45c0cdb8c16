/**
 * Records the output and the requests of an astro CLI that is called as the library calls it. Plays the scenes over the emulator, with a
 * real program (`npm run record:astro`) or with the stand-in.
 */
import { AstroCli } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import * as AstroHome from "../src/internal/astroHome.js"
import * as CliOutput from "../src/internal/cliOutput.js"
import * as Cli from "./cli.js"
import * as Proxy from "./Proxy.js"

/** Names replace the values that differ between runs. */
export interface Recording {
  readonly astro: string
  readonly scenes: Readonly<Record<string, ReadonlyArray<Invocation>>>
}

export interface Invocation {
  readonly step: string
  readonly args: ReadonlyArray<string>
  readonly stdin: string | null
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  readonly requests: ReadonlyArray<Proxy.Exchange>
}

/** A new emulator, and the program that uses it. */
export interface Stage {
  readonly emulator: Emulator.Service
  /** The API that the program uses. */
  readonly apiUrl: string
  readonly cli: (options?: Partial<AstroCli.AstroCliOptions>) => Effect.Effect<typeof AstroCli.AstroCli.Service>
  /** Runs the program without the library, for calls that the library would refuse. */
  readonly run: (args: ReadonlyArray<string>, config?: (text: string) => string) => Effect.Effect<unknown, unknown>
  /** Creates a folder with these files. */
  readonly folder: (files: Readonly<Record<string, string>>) => string
}

export interface Step {
  readonly name: string
  /** The expected {@link meaning}. */
  readonly means: string
  readonly act: (stage: Stage) => Effect.Effect<unknown, unknown, Scope.Scope>
}

export interface Scene {
  readonly title: string
  readonly steps: ReadonlyArray<Step>
}

/** How the library reads the output: a status, a version, or the kind of a problem. */
export const meaning = (
  args: ReadonlyArray<string>,
  { exitCode, stderr, stdout }: Pick<Invocation, "exitCode" | "stderr" | "stdout">
): string => {
  const ended = { exitCode, signal: null, stdout, stderr, isCut: false }
  const done = args[0] === "version"
    ? CliOutput.version(stdout)
    : args[0] === "api"
    ? CliOutput.response(ended)?.status
    : args[0] === "deploy"
    ? CliOutput.deployedVersion(stdout)
    : CliOutput.isInitialized(stdout) || undefined
  return done === undefined ? CliOutput.problem(ended, "ASTRO_TOKEN").kind : `${done}`
}

/** Plays a scene with the program at `bin`. */
export const play = ({ steps }: Scene, bin: string) =>
  Effect.gen(function*() {
    // changes take no time, so that every status is the same in each run
    const emulator = yield* Emulator.make({ durations: { create: 0, hibernate: 0, wake: 0, update: 0, deploy: 0 } })
    const proxy = yield* Proxy.make(emulator.url)
    const root = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(realpathSync(tmpdir()), "astro-recording-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true }))
    )
    const { run } = Context.get(yield* Layer.build(ProcessRunner.layer), ProcessRunner.ProcessRunner)
    const named = naming({
      [emulator.organizationId]: "ORGANIZATION",
      [emulator.workspaceId]: "WORKSPACE",
      [Redacted.value(emulator.astroToken)]: "ASTRO_TOKEN"
    })
    const invocations: Array<Invocation> = []
    let step = ""
    const recorded = (command: ProcessRunner.Command) =>
      Effect.map(run(command), (ended) => {
        const { args, cwd, env, stdin } = command
        const homes = [["ASTRO_HOME", env["ASTRO_HOME"] ?? ""], ["FOLDER", cwd]] as const
        const places = [["HOST", new URL(proxy.url).host], ...homes] as const
        const plain = (text: string) =>
          named(places.reduce((rest, [name, place]) => rest.replaceAll(place, name), text))
        invocations.push({
          step,
          args: args.map(plain),
          stdin: stdin === undefined ? null : plain(stdin),
          requests: proxy.taken().map((exchange) => Proxy.map(exchange, plain)),
          exitCode: ended.exitCode,
          stdout: plain(ended.stdout),
          stderr: plain(ended.stderr)
        })
        return ended
      })
    const account = { ...Cli.account(emulator), apiUrl: proxy.url, environment: {}, bin }
    const { env, path } = yield* AstroHome.make(account, {})
    // called once, because each client needs it
    const version = yield* run({ command: bin, args: ["version"], env, cwd: path, timeout: "20 seconds" })
    const runner = ProcessRunner.layerTest((command) =>
      command.args[0] === "version" ? Effect.succeed(version) : recorded(command)
    )
    const scope = yield* Effect.scope
    const stage: Stage = {
      emulator,
      apiUrl: proxy.url,
      cli: (options) =>
        Effect.map(
          Layer.buildWithScope(
            AstroCli.layer({ ...account, ...options }).pipe(Layer.provide([runner, NodeContext.layer])),
            scope
          ),
          (context) => Context.get(context, AstroCli.AstroCli)
        ),
      run: (args, config = (text) => text) =>
        Effect.gen(function*() {
          const { env, path } = yield* AstroHome.make(account, {})
          writeFileSync(join(path, ".astro", "config.yaml"), config(AstroHome.configText(account)))
          yield* recorded({ command: bin, args, env, cwd: path, timeout: "20 seconds" })
        }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
      folder: (files) => {
        const path = mkdtempSync(join(root, "folder-"))
        for (const [name, text] of Object.entries(files)) {
          mkdirSync(dirname(join(path, name)), { recursive: true })
          writeFileSync(join(path, name), text)
        }
        return path
      }
    }
    for (const { act, name } of steps) {
      step = name
      yield* Effect.exit(Effect.scoped(act(stage)))
    }
    return shortened(invocations)
  }).pipe(Effect.provide(NodeContext.layer))

/** Replaces a response that occurred before by a reference. */
const shortened = (invocations: ReadonlyArray<Invocation>): ReadonlyArray<Invocation> => {
  const steps = new Map<string, string>()
  const short = (body: string, step: string) => {
    const first = steps.get(body)
    if (first === undefined && body.length > 200) steps.set(body, step)
    return first === undefined ? body : `as in "${first}"`
  }
  return invocations.map((invocation) => ({
    ...invocation,
    requests: invocation.requests.map((exchange) => ({
      ...exchange,
      answer: exchange.answer && { ...exchange.answer, body: short(exchange.answer.body, invocation.step) }
    }))
  }))
}

/** Numbers names in the order in which their values first occur. */
const naming = (fixed: Readonly<Record<string, string>>) => {
  const names = new Map(Object.entries(fixed))
  // the path of an Airflow is the end of its deployment's id
  const paths = new Map<string, string>()
  const nameOf = (prefix: string) => (value: string) => {
    const name = names.get(value) ?? `${prefix}${names.size - Object.keys(fixed).length + 1}`
    names.set(value, name)
    paths.set(`d${value.slice(-7)}`, `d-${name}`)
    return name
  }
  return (text: string) =>
    text
      .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, nameOf("TOKEN"))
      .replace(/\bc[a-z0-9]{24}\b/g, nameOf("ID"))
      .replace(/\bd[a-z0-9]{7}\b/g, (path) => paths.get(path) ?? path)
      .replace(/\bsig=\w+/g, "sig=SIGNATURE")
      .replace(/\b[a-z]+-[a-z]+-1\d{3}\b/g, "NAMESPACE")
      .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "TIME")
      .replace(/^Date: .*$/m, "Date: DATE")
      .replace(/^Content-Length: .*$/m, "Content-Length: LENGTH")
      // long, and a stack trace differs between machines
      .replace(/^(Usage:|\[signal |goroutine )[^]*$/m, "…")
}
