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
  phase: Schema.Literal("starting", "healthy", "unhealthy", "hibernated"),
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

/** The folders of a home's deployments. One that is being created has another name. */
export const all = (home: string): ReadonlyArray<string> =>
  names(deploymentsOf(home)).filter((name) => !name.startsWith(unfinished)).map((name) => folderOf(home, name))

/** What killed processes have left that were creating a deployment. Only to be called under the lock of all names. */
export const unfinishedOnes = (home: string): ReadonlyArray<string> =>
  names(deploymentsOf(home)).filter((name) => name.startsWith(unfinished)).map((name) => folderOf(home, name))

export const deploymentsOf = (home: string): string => path.join(home, "deployments")
export const folderOf = (home: string, id: string): string => path.join(deploymentsOf(home), id)
/** Where a deployment is created, before it is one. */
export const unfinishedOf = (home: string, id: string): string => folderOf(home, `${unfinished}${id}`)
/** Held while a deployment is created. */
export const namesLockOf = (home: string): string => path.join(home, "names.lock")

/** Whether a request to hibernate applies at the time `now`. */
export const isAsleep = (request: Option.Option<Request>, now: number): boolean =>
  Option.exists(request, ({ hibernate, until = Infinity }) => hibernate && until > now)

const [lock, variablesLock, log] = ["supervisor.lock", "variables.lock", "supervisor.log"]
export const lockOf = (folder: string): string => path.join(folder, lock)
export const variablesLockOf = (folder: string): string => path.join(folder, variablesLock)
export const logOf = (folder: string): string => path.join(folder, log)

/** Its folders. `include` and `plugins` come with a delivery. */
export const folders: ReadonlyArray<string> = ["dags", "include", "plugins", "logs", "tokens"]

/** The names of its files, apart from those in its folders. */
export const files: ReadonlyArray<string> = [
  ...[facts, request, state, variables, delivered, server].map(({ name }) => name),
  lock,
  variablesLock,
  log
]

/** The names in a folder; none if it does not exist. */
export const names = (folder: string): ReadonlyArray<string> => unlessMissing(() => fs.readdirSync(folder)) ?? []

// internal

const unfinished = "."

interface Fact<A> {
  readonly name: string
  /** `None` if it does not exist, or is of a version of this library that wrote it differently. Throws if it cannot be read. */
  readonly read: (folder: string) => Option.Option<A>
  /** For this user alone. */
  readonly write: (folder: string, value: A) => void
  readonly remove: (folder: string) => void
}

function fact<A, I>(name: string, schema: Schema.Schema<A, I>): Fact<A> {
  const json = Schema.parseJson(schema)
  const [decode, encode] = [Schema.decodeOption(json), Schema.encodeSync(json)]
  return {
    name,
    read: (folder) =>
      Option.flatMap(
        Option.fromNullable(unlessMissing(() => fs.readFileSync(path.join(folder, name), "utf8"))),
        decode
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
