import { PostgresServer } from "@airflow-resource/local"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Redacted } from "effect"
import * as net from "node:net"
import * as Postgres from "../src/internal/Postgres.js"

const planted = "planted/secret"

const serverAt = (port: number) =>
  Either.getOrThrow(PostgresServer.parse(`postgresql://user:${encodeURIComponent(planted)}@127.0.0.1:${port}`))

const message = (type: string, ...parts: ReadonlyArray<Buffer>) => {
  const body = Buffer.concat(parts)
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(type), length, body])
}

const int16 = (value: number) => Buffer.from([value >> 8, value & 255])
const int32 = (value: number) => Buffer.concat([int16(value >>> 16), int16(value & 65535)])
const text = (value: string) => Buffer.from(`${value}\0`)

const error = (code: string, words: string) =>
  message("E", text("SFATAL"), text("VFATAL"), text(`C${code}`), text(`M${words}`), text(""))

const ready = message("Z", Buffer.from("I"))

/** A row of text, of numbers (type 23) and of truth values (type 16). */
const row = (columns: ReadonlyArray<readonly [name: string, type: number, value: string]>) =>
  Buffer.concat([
    message(
      "T",
      int16(columns.length),
      ...columns.map(([name, type]) =>
        Buffer.concat([text(name), int32(0), int16(0), int32(type), int16(-1), int32(-1), int16(0)])
      )
    ),
    message(
      "D",
      int16(columns.length),
      ...columns.map(([, , value]) => Buffer.concat([int32(value.length), Buffer.from(value)]))
    )
  ])

interface Server {
  readonly login?: Buffer
  readonly version?: string
  readonly mayCreate?: boolean
  readonly maySkipTriggers?: boolean
}

/** A server that lets everything in, and knows only the statements of the check. */
const serve = ({ login, mayCreate = true, maySkipTriggers = true, version = "15.3" }: Server) =>
  Effect.acquireRelease(
    Effect.async<net.Server>((resume) => {
      const server = net.createServer((socket) => {
        let isIn = false
        socket.on("error", () => {})
        socket.on("data", (data) => {
          if (!isIn) {
            isIn = true
            socket.write(login ?? Buffer.concat([message("R", int32(0)), ready]))
            return login === undefined ? undefined : socket.end()
          }
          const statement = data.toString()
          if (statement.startsWith("X")) return socket.end()
          const number = String(Number(version.split(".")[0]) * 10_000)
          socket.write(Buffer.concat([
            statement.includes("server_version")
              ? row([["version", 25, version], ["number", 23, number], ["mayCreate", 16, mayCreate ? "t" : "f"]])
              : Buffer.alloc(0),
            statement.includes("session_replication_role") && !maySkipTriggers
              ? error("42501", "permission denied")
              : message("C", text("OK")),
            ready
          ]))
        })
      }).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  ).pipe(Effect.map((server) => serverAt((server.address() as net.AddressInfo).port)))

describe("PostgresServer.parse", () => {
  it("reads a URL", () => {
    const parse = (text: string) => Either.getOrThrow(PostgresServer.parse(text))
    assert.deepStrictEqual(parse(" postgresql://me%40here:a%2Fb%25@db.example.org:5433/own?sslmode=require "), {
      host: "db.example.org",
      port: 5433,
      user: "me@here",
      password: Redacted.make("a/b%"),
      database: "own",
      encrypted: true
    })
    assert.deepInclude(parse("postgres://me@[::1]"), {
      host: "::1",
      port: 5432,
      database: "postgres",
      encrypted: false
    })
  })

  for (
    const url of [
      "planted",
      "mysql://me:planted@localhost/db",
      "postgresql+psycopg2://me:planted@localhost/db",
      "postgresql:///db",
      "postgresql://localhost/db",
      "postgresql://me:planted@/db",
      "postgresql://me:planted%@localhost/db",
      "postgresql://me:planted@localhost:port/db",
      "postgresql://me:planted#@localhost/db",
      "postgresql://me:planted@localhost/db/more",
      "postgresql://me:planted@localhost/db?sslmode=verify-full",
      "postgresql://me:planted@localhost/db?options=planted"
    ]
  ) {
    it(`refuses ${url}, and does not repeat it`, () => {
      const refused = PostgresServer.parse(url)
      assert(Either.isLeft(refused))
      assert.include(refused.left, "expected postgresql://USER:PASSWORD@HOST")
      assert.notInclude(refused.left, "planted")
    })
  }

  it("has a label for the server and the user, whatever the password is", () => {
    const labelOf = (url: string) => PostgresServer.label(Either.getOrThrow(PostgresServer.parse(url)))
    const label = labelOf("postgresql://me:one@localhost/db")
    assert.match(label, /^[0-9a-f]{8}$/)
    assert.strictEqual(labelOf("postgresql://me:two@localhost:5432/other"), label)
    assert.notStrictEqual(labelOf("postgresql://you:one@localhost/db"), label)
    assert.notStrictEqual(labelOf("postgresql://me:one@localhost:5433/db"), label)
  })

  it("leads to a URL for Airflow", () => {
    const server = serverAt(5433)
    assert.strictEqual(
      Postgres.urlOf(server, "airflow", "psycopg2"),
      "postgresql+psycopg2://user:planted%2Fsecret@127.0.0.1:5433/airflow?sslmode=disable"
    )
    assert.strictEqual(
      Postgres.urlOf({ ...server, host: "::1", encrypted: true }, "airflow", "asyncpg"),
      "postgresql+asyncpg://user:planted%2Fsecret@[::1]:5433/airflow?ssl=require"
    )
  })
})

describe("PostgresServer.check", () => {
  it.scopedLive("returns the version", () =>
    Effect.gen(function*() {
      const server = yield* serve({ version: "14.1" })
      assert.strictEqual(yield* PostgresServer.check(server, "3.3.2"), "14.1")
      assert.strictEqual(yield* PostgresServer.check(yield* serve({ version: "13.0" }), "2.11.2"), "13.0")
    }))

  const cases: ReadonlyArray<readonly [title: string, server: Server, kind: string, words: RegExp]> = [
    ["that is too old", { version: "13.9" }, "unusable", /PostgreSQL 13\.9, and Airflow 3\.3\.2 needs 14 or newer/],
    ["whose user may not create databases", { mayCreate: false }, "forbidden", /ALTER ROLE "user" CREATEDB/],
    [
      "whose user is no superuser",
      { maySkipTriggers: false },
      "forbidden",
      /Use a superuser, or .* GRANT SET ON PARAMETER/
    ],
    [
      "that refuses the login",
      { login: error("28P01", "password authentication failed for user \"user\"") },
      "unauthorized",
      /refuses the login of user: password authentication failed .* Correct the user/
    ],
    ["without the database", { login: error("3D000", "no such database") }, "notFound", /Name a database that exists/],
    [
      "that is only starting",
      { login: error("57P03", "starting up") },
      "unreachable",
      /starting up\. Start the server/
    ],
    [
      "that is full",
      { login: error("53300", "too many clients") },
      "server",
      /too many clients \(53300\)\. See the log/
    ]
  ]
  for (const [title, options, kind, words] of cases) {
    it.scopedLive(`refuses a server ${title}`, () =>
      Effect.gen(function*() {
        const failure = yield* Effect.flip(PostgresServer.check(yield* serve(options), "3.3.2"))
        assert.strictEqual(failure.kind, kind)
        assert.match(failure.message, words)
        assert.notInclude(JSON.stringify(failure) + failure.stack, planted)
      }))
  }

  it.scopedLive("says that there is no server", () =>
    Effect.gen(function*() {
      const server = yield* Effect.scoped(serve({}))
      const failure = yield* Effect.flip(PostgresServer.check(server, "3.3.2"))
      assert.strictEqual(failure.kind, "unreachable")
      assert.match(failure.message, /127\.0\.0\.1:\d+ does not respond .*ECONNREFUSED.* Start the server/)
    }))
})
