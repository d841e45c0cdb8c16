/** The parts of a running Airflow: they are started together, and one that ends is started again, a bounded number of times. */
import * as Array from "effect/Array"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Record from "effect/Record"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as Recipe from "../recipe.js"
import type { Target } from "./Ingress.js"
import * as Launcher from "./Launcher.js"
import * as Logs from "./logs.js"
import * as Zygote from "./Zygote.js"

/** Airflow does not run, and is not going to. Shows the end of a log. */
export class AirflowFailed extends Data.TaggedError("AirflowFailed")<{ readonly message: string }> {}

/** An Airflow that is described but does not run yet. */
export interface Options
  extends Pick<Recipe.Site, "home" | "dagsFolder" | "environment" | "secret" | "fernetKey" | "database">
{
  readonly version: string
  readonly user: Recipe.User
  /** More users, for Airflow 3. */
  readonly otherUsers?: ReadonlyArray<Recipe.User>
  /** Additional environment variables of its processes. */
  readonly variables?: Readonly<Record<string, string>>
  /** Forks its processes from one that has imported Airflow, where that is possible [false]. */
  readonly zygote?: boolean
  /** How often a part that ends within ten minutes is started again [3]. */
  readonly restarts?: number
  /** Called when processes were started, with those that run. */
  readonly onStarted?: (processes: Readonly<Record<string, number>>) => Effect.Effect<void>
}

/** An Airflow that is healthy and accepts its user. */
export interface Running extends Target {
  readonly recipe: Recipe.Recipe
  readonly pids: Readonly<Record<string, number>>
  /** Fails when a part has ended too often. */
  readonly failed: Effect.Effect<never, AirflowFailed>
}

/** Starts an Airflow that runs until the scope closes. */
export const start = (options: Options): Effect.Effect<Running, AirflowFailed, Scope.Scope> =>
  Effect.gen(function*() {
    const recipe = Recipe.recipeOf(options.version)
    const [port, logPort] = yield* Effect.all([freePort, freePort], { concurrency: "unbounded" })
    const hasZygote = recipe.hasZygote && options.zygote === true
    const url = `http://127.0.0.1:${port}`
    const users = [options.user, ...options.otherUsers ?? []]
    const site: Recipe.Site = { ...options, port, logPort, url, users }
    if (recipe.major === 3) {
      const passwords = Object.fromEntries(users.map(({ password, username }) => [username, password]))
      fs.writeFileSync(Recipe.passwordsOf(options.home), JSON.stringify(passwords), { mode: 0o600 })
    }
    const bin = (name: string) => path.join(options.environment, "bin", name)
    const logs = Logs.folderOf(options.home)
    fs.mkdirSync(logs, { recursive: true })
    const logOf = (part: string) => path.join(logs, `${part}.log`)
    const launcher = yield* Launcher.make(options.environment, { hasZygote })
    const pids: Record<string, number> = {}
    const before = Record.fromIterableWith(Object.keys(recipe.parts), (part) => [part, Logs.sizeOf(logOf(part))])
    const startPart = (part: string) =>
      launcher.start({
        name: part,
        argv: [bin("python"), bin("airflow"), part, ...recipe.parts[part]?.args(site) ?? []],
        env: { ...options.variables, ...Recipe.environmentOf(recipe, site, recipe.parts[part]?.lockSeconds ?? 30) },
        cwd: options.home,
        log: logOf(part)
      }).pipe(
        Effect.tap((pid) => Effect.sync(() => void (pids[part] = pid))),
        Effect.zipRight(Effect.suspend(() => options.onStarted?.({ launcher: launcher.pid, ...pids }) ?? Effect.void))
      )
    const described = ({ name, status }: Launcher.Ended) =>
      `Airflow's ${name} ended (${status < 0 ? `signal ${-status}` : `exit code ${status}`}). The end of its log, ${
        logOf(name)
      }:\n${tail(logOf(name))}`
    const portTaken = Effect.suspend(() => {
      const sinceStart = ([part, size]: readonly [string, number]) =>
        Logs.tail(logOf(part), Logs.sizeOf(logOf(part)) - size)
      const part = Object.entries(before).find((entry) => cannotListen.test(sinceStart(entry)))?.[0]
      return part === undefined ? Effect.void : new AirflowFailed({
        message: `Airflow's ${part} cannot listen, address already in use. The end of its log, ${logOf(part)}:\n${
          tail(logOf(part))
        }`
      })
    }).pipe(Effect.repeat(Schedule.spaced("500 millis")), Effect.zipRight(Effect.never))
    const [first, last] = Array.partition(Object.keys(recipe.parts), (part) => recipe.parts[part]?.isLast === true)
    yield* Effect.forEach(first, startPart, { discard: true })
    const target = yield* ready(recipe, site, options.user).pipe(
      Effect.mapError((missing) =>
        new AirflowFailed({
          message: `Airflow ${options.version} was not ready in time: ${missing}. ` +
            first.map((part) => `\n== ${logOf(part)}\n${tail(logOf(part))}`).join("")
        })
      ),
      Effect.raceFirst(Effect.flatMap(launcher.ended, (ended) => new AirflowFailed({ message: described(ended) }))),
      // not every part ends when it cannot listen
      Effect.raceFirst(portTaken)
    )

    // its start would slow down what a lease does first
    yield* Effect.forEach(last, startPart, { discard: true }).pipe(Effect.delay("3 seconds"), Effect.forkScoped)
    // the next start is faster with one, and this one need not wait for it
    if (hasZygote && !launcher.isForked) yield* Zygote.ensure(options.environment, commandEnvironment(options))
    let current = target
    yield* Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => Effect.sleep(Math.min((current.until - now) / 2, longestTimer))
    ).pipe(
      Effect.zipRight(login(recipe, url, options.user)),
      Effect.map((renewed) => void (current = renewed)),
      Effect.catchAll(() => Effect.sleep("10 seconds")),
      Effect.forever,
      Effect.forkScoped
    )
    const failures: Array<number> = []
    const failed = Effect.gen(function*() {
      const ended = yield* launcher.ended
      yield* Effect.logWarning(described(ended))
      const now = yield* Clock.currentTimeMillis
      failures.push(now)
      if (ended.name === "launcher" || failures.filter((at) => at > now - window).length > (options.restarts ?? 3)) {
        return yield* new AirflowFailed({ message: described(ended) })
      }
      yield* startPart(ended.name)
    }).pipe(Effect.forever)
    return {
      recipe,
      url,
      get authorization() {
        return current.authorization
      },
      pids,
      failed
    }
  })

/** The environment of a command that ends by itself, while no part runs. */
export const commandEnvironment = (options: Options): Record<string, string> =>
  Recipe.environmentOf(
    Recipe.recipeOf(options.version),
    { ...options, port: 1, logPort: 1, url: "http://127.0.0.1:1", users: [options.user] },
    60
  )

// internal

/** Ten minutes. */
const window = 600_000

/** What uvicorn and gunicorn log when they find their port taken. */
const cannotListen = /\[errno \d+\].*address already in use/i

/** Node's timers are not longer. */
const longestTimer = 86_400_000

/**
 * A free port below those that the system gives to outgoing connections, any of which could take it between its choice and its use. Two that
 * choose at the same time hardly choose the same one.
 */
const freePort: Effect.Effect<number> = Effect.flatMap(
  Random.nextIntBetween(10_000, 32_768),
  (port) =>
    Effect.async<number, Error>((resume) => {
      const server = net.createServer()
      server.once("error", (error) => resume(Effect.fail(error)))
      server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(port))))
    })
).pipe(Effect.retry({ times: 100 }), Effect.orDie)

/** Succeeds if a server listens on the port. */
const connects = (port: number): Effect.Effect<void, string> =>
  Effect.async<void, string>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error.message)))
    return Effect.sync(() => socket.destroy())
  })

const login = (recipe: Recipe.Recipe, url: string, user: Recipe.User) =>
  Effect.tryPromise({ try: (signal) => recipe.login(url, user, signal), catch: String })

/** Waits until Airflow is healthy and accepts the user. */
const ready = (recipe: Recipe.Recipe, { logPort, url }: Recipe.Site, user: Recipe.User) =>
  Effect.gen(function*() {
    const session = yield* login(recipe, url, user)
    const get = (route: string) =>
      Effect.tryPromise({
        try: async (signal) => {
          const response = await fetch(`${url}${route}`, {
            headers: { authorization: session.authorization },
            signal
          })
          if (!response.ok) throw new Error(`GET ${route}: ${response.status}`)
          return await response.json()
        },
        catch: String
      })
    const health = yield* get(recipe.health)
    const components = health as Record<string, { readonly status: string | null } | undefined>
    const unhealthy = recipe.components.filter((component) => components[component]?.status !== "healthy")
    if (unhealthy.length > 0) return yield* Effect.fail(`not healthy: ${unhealthy.join(", ")}`)
    yield* get(`${recipe.api}/dags?limit=1`)
    // the log of a task that runs comes from a process that the scheduler starts, and does not miss when it ends
    yield* Effect.mapError(connects(logPort), (error) => `the scheduler's log server: ${error}`)
    // the first task would wait for this: Airflow 3 prepares its API for tasks with the first request to it
    if (recipe.major === 3) yield* Effect.forkScoped(Effect.ignore(get("/execution/health")))
    return session
  }).pipe(
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => "no response within 10 s" }),
    Effect.retry(Schedule.upTo(Schedule.spaced("100 millis"), "3 minutes"))
  )

const tail = (file: string): string => Logs.tail(file, 2000) || "(it is empty)"
