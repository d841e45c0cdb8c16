/** How an Airflow runs on this machine: its parts, settings and logins, which differ between Airflow 2 and Airflow 3. */
import * as path from "node:path"
import { fileURLToPath } from "node:url"

export interface User {
  readonly username: string
  readonly password: string
  readonly role: "Admin" | "Viewer"
}

/** The folders, addresses and secrets of one Airflow. */
export interface Site {
  readonly home: string
  readonly dagsFolder: string
  /** The Python environment that Airflow is installed in. */
  readonly environment: string
  readonly url: string
  readonly port: number
  /** Of the server for the logs of tasks that run. */
  readonly logPort: number
  /** At least 64 characters. Signs sessions and tokens. */
  readonly secret: string
  /** 32 bytes, in URL-safe Base64. */
  readonly fernetKey: string
  /** Only used by Airflow 3, whose users are settings. */
  readonly users: ReadonlyArray<User>
  /** The settings of its database [SQLite, a file in its home]. */
  readonly database?: Readonly<Record<string, string>> | undefined
}

export interface Part {
  /** How many seconds it waits for a lock on the database. */
  readonly lockSeconds: number
  readonly args: (site: Site) => ReadonlyArray<string>
  /** Whether it is started last, because Airflow is ready without it. */
  readonly isLast?: boolean
}

export interface Recipe {
  readonly major: 2 | 3
  readonly api: string
  readonly health: string
  /** The components that must be healthy before the server is ready. */
  readonly components: ReadonlyArray<string>
  /** The long-running processes, by the names of their commands. */
  readonly parts: Readonly<Record<string, Part>>
  /** Whether a process that has imported it can be forked to start it faster. */
  readonly hasZygote: boolean
  readonly settings: (site: Site) => Readonly<Record<string, string>>
  /** Returns the value of the user's `authorization` header, and when it ends, in epoch milliseconds. */
  readonly login: (
    url: string,
    user: User,
    signal: AbortSignal
  ) => Promise<{ readonly authorization: string; readonly until: number }>
}

export const recipeOf = (version: string): Recipe => version.startsWith("2.") ? two : three

export const databaseOf = (home: string): string => path.join(home, "airflow.db")

/** The file that Airflow 3 reads its users' passwords from. */
export const passwordsOf = (home: string): string => path.join(home, "passwords.json")

/** The environment of a process of Airflow. */
export const environmentOf = (recipe: Recipe, site: Site, lockSeconds: number): Record<string, string> => ({
  HOME: site.home,
  LANG: "C.UTF-8",
  // as on Astro, DAGs may import from the project's folder `include`
  PYTHONPATH: `${fileURLToPath(new URL("../../python/site", import.meta.url))}:${site.home}`,
  PATH: `${site.environment}/bin:/usr/local/bin:/usr/bin:/bin`,
  AIRFLOW_HOME: site.home,
  AIRFLOW__CORE__DAGS_FOLDER: site.dagsFolder,
  AIRFLOW__CORE__HOSTNAME_CALLABLE: "local_airflow.hostname",
  AIRFLOW__CORE__PLUGINS_FOLDER: path.join(site.home, "plugins"),
  AIRFLOW__CORE__LOAD_EXAMPLES: "False",
  AIRFLOW__CORE__EXECUTOR: "LocalExecutor",
  AIRFLOW__CORE__PARALLELISM: "2",
  AIRFLOW__CORE__FERNET_KEY: site.fernetKey,
  AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL: "0",
  AIRFLOW__CORE__MIN_SERIALIZED_DAG_FETCH_INTERVAL: "0",
  AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS: "False",
  // the time limit for locks is part of SQLite's URL
  AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: `sqlite:///${databaseOf(site.home)}?timeout=${lockSeconds}`,
  // a delivery reads from the logs when a file was parsed
  AIRFLOW__LOGGING__LOGGING_LEVEL: "INFO",
  AIRFLOW__LOGGING__BASE_LOG_FOLDER: path.join(site.home, "logs"),
  AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: String(site.logPort),
  // which has the triggerer's files as well
  AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: String(site.logPort),
  AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC: "0.5",
  AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC: "2",
  AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: "0.2",
  AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL: "5",
  AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False",
  ...site.database,
  ...recipe.settings(site)
})

// internal

/** Runs what deferrable operators wait for. */
const triggerer: Part = { lockSeconds: 60, args: () => ["--skip-serve-logs"], isLast: true }

/** Webserver and scheduler, which also parses the DAGs. Users of FAB, who log in with basic authentication. */
const two: Recipe = {
  major: 2,
  api: "/api/v1",
  health: "/api/v1/health",
  components: ["metadatabase", "scheduler"],
  parts: {
    webserver: { lockSeconds: 60, args: () => [] },
    scheduler: { lockSeconds: 60, args: () => [] },
    triggerer
  },
  // importing is a small part of its start
  hasZygote: false,
  settings: ({ port, secret, url }) => ({
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
  login: async (_url, { password, username }) => ({
    authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`,
    until: Infinity
  })
}

/** API server, scheduler and DAG processor. Users of SimpleAuthManager, who log in with a token. */
const three: Recipe = {
  major: 3,
  api: "/api/v2",
  health: "/api/v2/monitor/health",
  components: ["metadatabase", "scheduler", "dag_processor"],
  parts: {
    "api-server": {
      // it may wait for a lock that it holds itself, which it never gets
      lockSeconds: 1,
      // read from the settings when Airflow is imported, which the zygote has done for another site
      args: ({ port }) => ["--host", "127.0.0.1", "--port", String(port), "--workers", "1"]
    },
    scheduler: { lockSeconds: 30, args: () => [] },
    "dag-processor": { lockSeconds: 30, args: () => [] },
    triggerer
  },
  hasZygote: true,
  settings: ({ home, port, secret, url, users }) => ({
    AIRFLOW__API__BASE_URL: url,
    AIRFLOW__API__HOST: "127.0.0.1",
    AIRFLOW__API__PORT: String(port),
    AIRFLOW__API__SECRET_KEY: secret,
    AIRFLOW__API__WORKERS: "1",
    AIRFLOW__API_AUTH__JWT_SECRET: secret,
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: users.map(({ role, username }) => `${username}:${role.toLowerCase()}`)
      .join(","),
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: passwordsOf(home),
    AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY: path.join(home, "logs", "dag_processor"),
    AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL: "1",
    AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: "1",
    AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES: "1",
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL: "1"
  }),
  login: async (url, { password, username }, signal) => {
    const response = await fetch(`${url}/auth/token`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username, password }),
      signal
    })
    if (!response.ok) throw new Error(`POST /auth/token: ${response.status}`)
    const { access_token: token } = (await response.json()) as { readonly access_token: string }
    const { exp } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { exp: number }
    return { authorization: `Bearer ${token}`, until: exp * 1000 }
  }
}
