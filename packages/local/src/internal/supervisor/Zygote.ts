/**
 * A process that has imported Airflow, and is forked for each Airflow that starts, which takes a fraction of the time. One serves all
 * deployments of an environment. It ends by itself when none was started for a while. Everything works without it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { PassThrough } from "node:stream"
import { fileURLToPath } from "node:url"

/** The input and the output of a launcher. */
export interface Channel {
  readonly pid: number
  readonly input: NodeJS.ReadableStream
  readonly write: (text: string) => void
  /** Ends its input. */
  readonly close: () => void
  /** Its exit code, or the negative number of a signal. */
  readonly isClosed: Promise<number>
}

/** A launcher that the zygote forks; `None` if there is no zygote. */
export const connect = (environment: string): Effect.Effect<Option.Option<Channel>> =>
  Effect.async<Option.Option<Channel>>((resume) => {
    const none = () => resume(Effect.succeedNone)
    const file = path.join(environment, `${name}.sock`)
    if (!fs.existsSync(file)) return none()
    const socket = connectTo(file)
    socket.on("error", none)
    const isClosed = new Promise<number>((resolve) => socket.once("close", () => resolve(-9)))
    isClosed.then(none)
    const input = new PassThrough()
    const lines = createInterface({ input: socket })
    // it repeats the socket's
    lines.on("error", () => {})
    lines.once("line", (line) => {
      const { launcher: pid } = JSON.parse(line) as { readonly launcher: number }
      lines.on("line", (line) => input.write(`${line}\n`))
      resume(Effect.succeedSome({
        pid,
        input,
        write: (text) => void socket.write(text),
        close: () => void socket.end(),
        isClosed
      }))
    })
    return Effect.sync(() => socket.destroy())
  }).pipe(
    // it may be hanging
    Effect.timeoutTo({ duration: "5 seconds", onTimeout: Option.none<Channel>, onSuccess: (channel) => channel })
  )

/** Starts one unless one is active. `settings` are those that all Airflows of the environment have in common. */
export const ensure = (folder: string, settings: Readonly<Record<string, string>>): Effect.Effect<void> =>
  Effect.sync(() => {
    // a link to it may be deleted while the zygote, which would import more from there, serves others
    const environment = fs.realpathSync(folder)
    const log = fs.openSync(path.join(environment, `${name}.log`), "w", 0o600)
    const child = spawn(path.join(environment, "bin", "python"), [script, name], {
      cwd: environment,
      // not those of the deployment that they come from: it may be deleted, and others have nothing to do with it
      env: {
        ...settings,
        HOME: environment,
        PYTHONPATH: python("site"),
        AIRFLOW_HOME: environment,
        AIRFLOW__CORE__DAGS_FOLDER: path.join(environment, "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER: path.join(environment, "plugins"),
        AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(environment, "logs")
      },
      detached: true,
      stdio: ["ignore", log, log]
    })
    child.on("error", () => {})
    child.unref()
    fs.closeSync(log)
  })

// internal

const python = (file: string) => fileURLToPath(new URL(`../../../python/${file}`, import.meta.url))

const script = python("zygote.py")

/** The path of a socket has at most 107 bytes, which that of its folder alone may have. */
const connectTo = (file: string): net.Socket => {
  if (!fs.existsSync("/proc/self/fd")) return net.connect(file)
  const folder = fs.openSync(path.dirname(file), "r")
  try {
    return net.connect(`/proc/self/fd/${folder}/${path.basename(file)}`)
  } finally {
    // the connection is made, or refused, by now
    fs.closeSync(folder)
  }
}

/** Another version of this package has another one: its launchers may speak differently. */
const name = `zygote-${
  ["zygote.py", "launcher.py", "site/sitecustomize.py", "site/local_airflow.py"]
    .reduce((hash, file) => hash.update(fs.readFileSync(python(file))), createHash("sha256"))
    .digest("hex").slice(0, 8)
}`
