/**
 * A deployment on disk: a folder, with a file for each fact. A fact is replaced in one step, so that every process can read it at any time.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { AirflowSettings } from "../AirflowSettings.js"
import { PostgresServer } from "../PostgresServer.js"

/** What a deployment was created with. */
export const Facts = Schema.Struct({
  id: Schema.String,
  /** The account that it belongs to. */
  workspace: Schema.String,
  name: Schema.String,
  description: Schema.String,
  /** The version of Airflow. */
  version: Schema.String,
  /** The name of the Python environment, and its folder. */
  environmentName: Schema.String,
  environment: Schema.String,
  createdAt: Schema.Number,
  /** Airflow's only user, and the keys that Airflow signs and encrypts with. */
  username: Schema.String,
  password: Schema.String,
  secret: Schema.String,
  fernetKey: Schema.String
})

export type Facts = typeof Facts.Type

/** The last request to wake it or to let it hibernate. */
export const Request = Schema.Struct({
  hibernate: Schema.Boolean,
  /** When it wakes again, in epoch milliseconds. */
  until: Schema.optional(Schema.Number),
  at: Schema.Number
})

export type Request = typeof Request.Type

/** A process, so that it is not mistaken for a later one with its number. */
export const ProcessIdentity = Schema.Struct({ bootId: Schema.String, pid: Schema.Number, startedAt: Schema.String })

export type ProcessIdentity = typeof ProcessIdentity.Type

/** What the supervisor says about itself and its Airflow. */
export const State = Schema.Struct({
  supervisor: ProcessIdentity,
  /** The request that it follows. */
  requestedAt: Schema.Number,
  phase: Schema.Literal("creating", "starting", "healthy", "unhealthy", "hibernated"),
  /** Why it is unhealthy. */
  problem: Schema.optional(Schema.String),
  /** The port of the ingress. */
  port: Schema.Number,
  /** The secret with which its other processes give it orders. */
  key: Schema.String,
  /** The address of Airflow's own pages. */
  uiUrl: Schema.String,
  /** The processes that must not outlive the supervisor: the launcher and the parts of Airflow. Each leads a session. */
  processes: Schema.Array(Schema.Struct({ name: Schema.String, pid: Schema.Number, startedAt: Schema.String }))
})

export type State = typeof State.Type

/** A token, without its value. */
export const Token = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  createdAt: Schema.Number,
  /** SHA-256 of its value, in hex. */
  hash: Schema.String,
  /** The process that uses it. */
  owner: ProcessIdentity
})

export type Token = typeof Token.Type

/** The values of the environment variables that were set for the deployment. */
export const Variables = Schema.Record({
  key: Schema.String,
  value: Schema.Struct({ value: Schema.String, isSecret: Schema.Boolean })
})

export type Variables = typeof Variables.Type

/** What the last delivery brought besides files. */
export const Delivered = Schema.Struct({
  /** DAG files that cannot be imported were accepted. */
  allowBroken: Schema.Boolean,
  /** Environment variables, from the project's `.env`. */
  variables: Schema.Record({ key: Schema.String, value: Schema.String }),
  settings: AirflowSettings,
  /** Whether it has come to its end: its DAGs are live, and in the snapshot. */
  isLive: Schema.Boolean
})

export const facts = fact("deployment.json", Facts)
export const request = fact("request.json", Request)
export const state = fact("state.json", State)
export const variables = fact("variables.json", Variables)
export const delivered = fact("delivered.json", Delivered)
/** The PostgreSQL server that has its database. It is the last that is deleted, so that the database cannot be forgotten. */
export const server = fact("server.json", PostgresServer)
export const token = (id: string) => fact(path.join("tokens", `${id}.json`), Token)

export const tokens = (folder: string): ReadonlyArray<Token> =>
  names(path.join(folder, "tokens")).flatMap((name) =>
    /^[0-9a-f]+\.json$/.test(name) ? Option.toArray(token(name.slice(0, -5)).read(folder)) : []
  )

/** Whether a request to hibernate applies at the time `now`. */
export const isAsleep = (request: Option.Option<Request>, now: number): boolean =>
  Option.exists(request, ({ hibernate, until = Infinity }) => hibernate && until > now)

export const lockOf = (folder: string): string => path.join(folder, "supervisor.lock")
/** Whether its Airflow has been started, with a database. */
export const wasStarted = (folder: string): boolean => fs.existsSync(path.join(folder, "logs", "scheduler.log"))
export const logOf = (folder: string): string => path.join(folder, "supervisor.log")

/** The names in a folder; none if it does not exist. */
export const names = (folder: string): ReadonlyArray<string> => unlessMissing(() => fs.readdirSync(folder)) ?? []

// internal

interface Fact<A> {
  /** `None` if it does not exist. Throws if it cannot be read. */
  readonly read: (folder: string) => Option.Option<A>
  /** For this user alone. */
  readonly write: (folder: string, value: A) => void
  readonly remove: (folder: string) => void
}

function fact<A, I>(name: string, schema: Schema.Schema<A, I>): Fact<A> {
  const json = Schema.parseJson(schema)
  const [decode, encode] = [Schema.decodeSync(json), Schema.encodeSync(json)]
  return {
    read: (folder) =>
      Option.map(
        Option.fromNullable(unlessMissing(() => fs.readFileSync(path.join(folder, name), "utf8"))),
        (text) => decode(text)
      ),
    write: (folder, value) => {
      const file = path.join(folder, name)
      const temporary = `${file}.${randomBytes(4).toString("hex")}`
      fs.writeFileSync(temporary, encode(value), { mode: 0o600 })
      fs.renameSync(temporary, file)
    },
    remove: (folder) => fs.rmSync(path.join(folder, name), { force: true })
  }
}

const unlessMissing = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined
    throw error
  }
}
