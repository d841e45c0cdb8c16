/** A PostgreSQL server of a test's own, on loopback, from the programs that are installed on this machine. */
import { PostgresServer } from "@airflow-resource/local"
import { Effect, Either, Redacted, Schedule } from "effect"
import { spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as net from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import * as Postgres from "../src/internal/Postgres.js"

/** Every character that means something in a URL, in a shell or in Airflow's settings. */
const password = `p@:/?#%41$HOME'"\\ ~${randomBytes(8).toString("hex")}`

/** Starts one, which ends with the scope. Its superuser is `owner`. */
export const server = Effect.gen(function*() {
  const bin = yield* binaries
  // the server refuses to run as root
  const other = process.getuid?.() === 0 ? idsOf("postgres") ?? idsOf("nobody") : undefined
  const give = (file: string) => {
    if (other !== undefined) fs.chownSync(file, other.uid, other.gid)
  }
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "postgres-"))
      give(folder)
      return folder
    }),
    (folder) => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }))
  )
  const options = { ...other, cwd: folder, env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" } }
  const secret = path.join(folder, "password")
  fs.writeFileSync(secret, password)
  give(secret)
  const data = path.join(folder, "data")
  const made = spawnSync(
    path.join(bin, "initdb"),
    ["-D", data, "-U", "owner", "--auth=scram-sha-256", `--pwfile=${secret}`, "--no-sync", "-E", "UTF8"],
    { ...options, encoding: "utf8" }
  )
  if (made.status !== 0) return yield* Effect.dieMessage(`initdb: ${made.stdout}${made.stderr}`)
  const port = yield* freePort
  const log = path.join(folder, "log")
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      const output = fs.openSync(log, "w")
      const settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off"
      ]
      const child = spawn(
        path.join(bin, "postgres"),
        ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])],
        { ...options, stdio: ["ignore", output, output] }
      )
      fs.closeSync(output)
      return { child, ended: new Promise<void>((resolve) => child.once("exit", () => resolve())) }
    }),
    ({ child, ended }) =>
      Effect.promise(() => {
        // at once, whatever is still connected
        child.kill("SIGQUIT")
        return ended
      })
  )
  const url = `postgresql://owner:${encodeURIComponent(password)}@127.0.0.1:${port}`
  const server = Either.getOrThrow(PostgresServer.parse(url))
  yield* Effect.retry(
    Postgres.use(server, "postgres", (sql) => sql`SELECT 1`),
    Schedule.upTo(Schedule.spaced("100 millis"), "1 minute")
  )
  return { server, url, log, password }
})

export type Server = Effect.Effect.Success<typeof server>

export const query = <Row extends object>(server: PostgresServer.PostgresServer, statement: string) =>
  Postgres.use(server, server.database, (sql) => sql.unsafe<Row>(statement))

export const databases = (server: PostgresServer.PostgresServer) =>
  Effect.map(
    query<{ readonly datname: string }>(server, "SELECT datname FROM pg_database ORDER BY 1"),
    (rows) => rows.map(({ datname }) => datname)
  )

/** The same server for another user. */
export const as = (server: PostgresServer.PostgresServer, user: string, password: string) => ({
  ...server,
  user,
  password: Redacted.make(password)
})

// internal

const binaries = Effect.suspend(() => {
  const versions = "/usr/lib/postgresql"
  const installed = fs.existsSync(versions) ? fs.readdirSync(versions).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...(process.env["PATH"] ?? "").split(":"),
    ...installed.map((version) => path.join(versions, version, "bin"))
  ]
  const found = folders.find((folder) => ["initdb", "postgres"].every((name) => fs.existsSync(path.join(folder, name))))
  return found === undefined
    ? Effect.dieMessage(
      "This suite needs PostgreSQL: put initdb and postgres on the PATH (on Debian: apt install postgresql)."
    )
    : Effect.succeed(found)
})

const idsOf = (user: string) => {
  const [, , uid, gid] = fs.readFileSync("/etc/passwd", "utf8").split("\n").find((line) => line.startsWith(`${user}:`))
    ?.split(":") ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

const freePort = Effect.async<number>((resume) => {
  const listener = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = listener.address() as net.AddressInfo
    listener.close(() => resume(Effect.succeed(port)))
  })
})
