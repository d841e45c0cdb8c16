/**
 * The differences between Airflow 2 and Airflow 3: their processes, settings and logins.
 */
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import type { AirflowFailed } from "./processes.js"

export interface User {
  readonly username: string
  readonly password: string
}

/** The folders, addresses and ports of a server. */
export interface Site {
  readonly home: string
  readonly dagsFolder: string
  /** The Python environment that Airflow is installed in. */
  readonly venv: string
  readonly url: string
  readonly port: number
  readonly logPorts: readonly [worker: number, trigger: number]
}

/** Runs a command of the Python environment until it has ended. */
type RunCommand = (name: string, ...args: ReadonlyArray<string>) => Effect.Effect<unknown, AirflowFailed>

export interface Major {
  readonly api: string
  readonly health: string
  /** The components that must be healthy before the server is ready. */
  readonly components: ReadonlyArray<string>
  /** The long-running processes, and how many seconds each waits for a lock on the database. */
  readonly processes: Readonly<Record<string, number>>
  readonly settings: (site: Site) => NodeJS.ProcessEnv
  /** Runs after the migration of the database and before the start. */
  readonly prepare: (site: Site, run: RunCommand) => Effect.Effect<void, AirflowFailed>
  /** Returns the value of the user's `authorization` header. */
  readonly login: (url: string, user: User, signal: AbortSignal) => Promise<string>
  /** Creates the user `viewer` on a running server, unless `prepare` has done so. */
  readonly createViewer: (url: string, authorization: string, signal: AbortSignal) => Promise<void>
}

export const admin: User = { username: "admin", password: "admin" }
export const viewer: User = { username: "viewer", password: "viewer" }

/** The settings of both versions. The time limit for locks is part of SQLite's URL. */
export const commonSettings = (site: Site, lockSeconds: number): NodeJS.ProcessEnv => ({
  HOME: site.home,
  LANG: "C.UTF-8",
  PATH: `${site.venv}/bin:${process.env["PATH"]}`,
  AIRFLOW_HOME: site.home,
  AIRFLOW__CORE__DAGS_FOLDER: site.dagsFolder,
  AIRFLOW__CORE__LOAD_EXAMPLES: "False",
  AIRFLOW__CORE__EXECUTOR: "LocalExecutor",
  AIRFLOW__CORE__PARALLELISM: "2",
  AIRFLOW__CORE__FERNET_KEY: "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",
  AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL: "0",
  AIRFLOW__CORE__MIN_SERIALIZED_DAG_FETCH_INTERVAL: "0",
  AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS: "False",
  AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: `sqlite:///${site.home}/airflow.db?timeout=${lockSeconds}`,
  AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: String(site.logPorts[0]),
  AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: String(site.logPorts[1]),
  AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC: "1",
  AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC: "2",
  AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: "0.2",
  AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL: "5",
  AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False"
})

const secret = "only-for-tests-on-loopback-"

/** Webserver and scheduler, which also parses the DAGs. Users of FAB, who log in with basic authentication. */
const two: Major = {
  api: "/api/v1",
  health: "/api/v1/health",
  components: ["metadatabase", "scheduler"],
  processes: { webserver: 60, scheduler: 60 },
  settings: ({ port, url }) => ({
    // otherwise LocalExecutor rejects SQLite, and the only other executor blocks the scheduler during each task
    _AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK: "1",
    AIRFLOW__API__AUTH_BACKENDS:
      "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,airflow.api.auth.backend.session",
    AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL: "1",
    AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL: "1",
    AIRFLOW__SCHEDULER__PARSING_PROCESSES: "1",
    AIRFLOW__WEBSERVER__BASE_URL: url,
    AIRFLOW__WEBSERVER__SECRET_KEY: secret,
    AIRFLOW__WEBSERVER__WEB_SERVER_HOST: "127.0.0.1",
    AIRFLOW__WEBSERVER__WEB_SERVER_PORT: String(port),
    AIRFLOW__WEBSERVER__WORKERS: "1"
  }),
  prepare: ({ home }, run) =>
    Effect.gen(function*() {
      const wal = `import sqlite3; sqlite3.connect('${home}/airflow.db').execute('PRAGMA journal_mode=WAL')`
      yield* run("python", "-c", wal)
      const user = ["-u", admin.username, "-p", admin.password, "-r", "Admin"]
      yield* run("airflow", "users", "create", ...user, "-f", "A", "-l", "A", "-e", "admin@example.org")
    }),
  login: async (_url, { password, username }) => `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
  // not possible before the start, because the webserver creates the roles
  createViewer: async (url, authorization, signal) => {
    const response = await fetch(`${url}/api/v1/users`, {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify({
        ...viewer,
        first_name: "V",
        last_name: "V",
        email: "viewer@example.org",
        roles: [{ name: "Viewer" }]
      }),
      signal
    })
    if (!response.ok && response.status !== 409) throw new Error(`POST /users: ${response.status}`)
  }
}

/** API server, scheduler and DAG processor. Users of SimpleAuthManager, who log in with a token. */
const three: Major = {
  api: "/api/v2",
  health: "/api/v2/monitor/health",
  components: ["metadatabase", "scheduler", "dag_processor"],
  // the API server may wait for a lock that it holds itself, which it never gets, so its limit is short
  processes: { "api-server": 1, scheduler: 30, "dag-processor": 30 },
  settings: ({ home, port, url }) => ({
    AIRFLOW__API__BASE_URL: url,
    AIRFLOW__API__HOST: "127.0.0.1",
    AIRFLOW__API__PORT: String(port),
    AIRFLOW__API__SECRET_KEY: secret,
    AIRFLOW__API__WORKERS: "1",
    AIRFLOW__API_AUTH__JWT_SECRET: secret.repeat(3),
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: `${admin.username}:admin,${viewer.username}:viewer`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: passwordsFile(home),
    AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL: "1",
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: "1",
    AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES: "1",
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL: "1"
  }),
  prepare: ({ home }) =>
    Effect.sync(() => {
      const passwords = Object.fromEntries([admin, viewer].map(({ password, username }) => [username, password]))
      fs.writeFileSync(passwordsFile(home), JSON.stringify(passwords))
    }),
  login: async (url, user, signal) => {
    const response = await fetch(`${url}/auth/token`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(user),
      signal
    })
    if (!response.ok) throw new Error(`POST /auth/token: ${response.status}`)
    return `Bearer ${((await response.json()) as { readonly access_token: string }).access_token}`
  },
  createViewer: async () => {}
}

const passwordsFile = (home: string) => path.join(home, "passwords.json")

export const majorOf = (version: string): 2 | 3 => version.startsWith("2.") ? 2 : 3

export const majors: Readonly<Record<2 | 3, Major>> = { 2: two, 3: three }
