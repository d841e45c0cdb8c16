/** Copies the project's folders to a running Airflow, and proves that their DAGs are live. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Recipe } from "../recipe.js"
import type { Database } from "./Database.js"
import * as Folders from "./Folders.js"
import * as Logs from "./logs.js"
import * as parses from "./parses.js"

/** What is delivered. */
export interface Project {
  /** Absolute. */
  readonly dags: string
  /** Where `include` and `plugins` may be. */
  readonly root: string
}

/** The DAGs are not live. */
export class NotLive extends Data.TaggedError("NotLive")<{ readonly message: string }> {}

export interface Options {
  readonly recipe: Recipe
  /** The Airflow's home. */
  readonly home: string
  readonly database: Pick<Database, "use">
  /** When the files were copied. */
  readonly copiedAt: number
  /** DAG files that cannot be imported are accepted. */
  readonly allowBroken: boolean
  /** Deletes a DAG whose file is gone. */
  readonly deleteDag: (dagId: string) => Effect.Effect<void, NotLive>
}

/** What a copy has changed. Airflow loads plugins only when it starts. */
export interface Copied {
  readonly isChanged: boolean
  readonly hasNewPlugins: boolean
}

export const copy = (home: string, { dags, root }: Project): Effect.Effect<Copied, NotLive> =>
  Effect.try({
    try: () => {
      const mirror = (source: string, name: string) => Folders.mirror(source, path.join(home, name)).length > 0
      const isChanged = [mirror(path.join(root, "include"), "include"), mirror(dags, "dags")].includes(true)
      const hasNewPlugins = mirror(path.join(root, "plugins"), "plugins")
      return { isChanged: isChanged || hasNewPlugins, hasNewPlugins }
    },
    catch: (cause) => new NotLive({ message: `The project's files cannot be copied: ${String(cause)}` })
  })

/** Waits until Airflow has the copied files, and nothing else. */
export const awaitLive = (options: Options) =>
  Effect.gen(function*() {
    const dags = path.join(options.home, "dags")
    const files = Array.from(Folders.filesOf(dags), (file) => path.join(dags, file)).filter(mayHaveDags)
    yield* live(options, files)
    yield* forget(options, files)
    // Airflow may take a DAG for deleted for a moment, if it listed the files before the copy
    yield* live(options, files)
  })

// internal

interface Row {
  readonly dag_id: string
  readonly fileloc: string
  readonly is_live: number
  readonly parsed_at: number
  readonly source_code: string | null
}

interface Broken {
  readonly filename: string
  readonly stacktrace: string
  readonly at: number
}

/** Waits until each file was parsed after the copy: it has a DAG with its text, or an import error, or provably no DAG. */
const live = ({ allowBroken, copiedAt, database, home, recipe }: Options, files: ReadonlyArray<string>) => {
  const dags = path.join(home, "dags")
  let progress = { left: Infinity, at: copiedAt }
  const check = Effect.gen(function*() {
    // before the rows: what a parse has found is stored when the next one begins
    const parsed = new Map(files.map((file) => [file, parses.begunAfter(home, path.relative(dags, file), copiedAt)]))
    const { broken, rows } = yield* read(recipe, database)
    const now = yield* Clock.currentTimeMillis
    const dead: Array<Broken> = []
    const begins = Array.from(parsed.values(), ({ length }) => length).filter((length) => length > 0)
    // Airflow lists its folder each second, and parses all files before it begins again
    const isIgnored = begins.length === 0
      ? now > copiedAt + longestUnknown
      : now > copiedAt + longestRound && begins.every((count) => count >= 3)
    const missing = files.filter((file) => {
      const [begun, next] = parsed.get(file) ?? []
      if (begun === undefined) return !isIgnored
      if (broken.some(({ at, filename }) => isFile(filename, file, dags) && at >= begun)) return false
      const own = rows.filter(({ fileloc, parsed_at }) => isOf(fileloc, file) && parsed_at >= begun)
      if (own.length === 0) {
        const death = parses.deathOf(home, path.relative(dags, file), begun)
        if (death !== undefined) dead.push({ filename: file, stacktrace: death, at: begun })
        // without a DAG
        return death === undefined && next === undefined
      }
      // as Python reads it
      const text = file.endsWith(".py") ? fs.readFileSync(file, "utf8").replace(/\r\n?/g, "\n") : undefined
      return !own.some((row) => row.is_live === 1 && (text === undefined || row.source_code === text))
    })
    if (missing.length > 0) {
      const named = missing.map((file) =>
        `${path.relative(dags, file)}${parsed.get(file)?.length === 0 ? "" : " (its import has begun)"}`
      )
      if (missing.length < progress.left) progress = { left: missing.length, at: now }
      return yield* Effect.fail(`${named.join(", ")} not parsed yet`)
    }
    return [...broken.filter(({ filename }) => files.some((file) => isFile(filename, file, dags))), ...dead]
  })
  return check.pipe(
    // a project may have many files, so that only a pause is limited
    Effect.retry({
      schedule: Schedule.spaced("100 millis"),
      while: () => Effect.map(Clock.currentTimeMillis, (now) => now < progress.at + longestPause)
    }),
    Effect.mapError((reason) =>
      new NotLive({
        message: `Not all DAGs are live, and none became so for 2 minutes: ${String(reason)}. ` +
          `See ${Logs.folderOf(home)}.`
      })
    ),
    Effect.filterOrFail(
      (broken) => allowBroken || broken.length === 0,
      (broken) =>
        new NotLive({
          message: `Airflow cannot import ${broken.length} of the DAG files. ` +
            broken.map(({ filename, stacktrace }) =>
              `\n${path.relative(dags, path.resolve(dags, filename))}:\n${stacktrace.trimEnd()}`
            ).join("\n")
        })
    )
  )
}

/** Deletes the rows of DAGs that are gone; of those whose files are gone, once Airflow has noticed that they are. */
const forget = ({ copiedAt, database, deleteDag, home, recipe }: Options, files: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { rows } = yield* read(recipe, database)
    const dags = path.join(home, "dags")
    const isGone = ({ fileloc, is_live, parsed_at }: Row) => {
      const file = files.find((file) => isOf(fileloc, file))
      if (file === undefined) return true
      const [begun] = parses.begunAfter(home, path.relative(dags, file), copiedAt)
      // it may have another name in its file
      return begun === undefined ? is_live === 0 && parsed_at < copiedAt : parsed_at < begun
    }
    const gone = rows.filter(isGone)
    // it could come back
    const isListed = ({ fileloc, is_live }: Row) => is_live === 1 && files.every((file) => !isOf(fileloc, file))
    if (gone.some(isListed)) return yield* Effect.fail("DAGs of files that are gone are still active")
    yield* Effect.forEach(new Set(gone.map(({ dag_id }) => dag_id)), deleteDag, { discard: true })
  }).pipe(
    Effect.retry({
      schedule: Schedule.upTo(Schedule.spaced("100 millis"), "1 minute"),
      while: (error) => typeof error === "string"
    }),
    Effect.mapError((error) => typeof error === "string" ? new NotLive({ message: error }) : error)
  )

/** Airflow only reads files that contain both words. */
const mayHaveDags = (file: string) => {
  if (file.endsWith(".zip")) return true
  if (!file.endsWith(".py")) return false
  const text = fs.readFileSync(file, "latin1").toLowerCase()
  return text.includes("dag") && text.includes("airflow")
}

/** A DAG of an archive has a path within it. */
const isOf = (fileloc: string, file: string) => fileloc === file || fileloc.startsWith(`${file}/`)

/** Airflow 3.1 and later name a file relative to its folder. */
const isFile = (filename: string, file: string, dags: string) => path.resolve(dags, filename) === file

/** `.airflowignore` may leave out a file, so that no log tells of it. In milliseconds, if others are parsed. */
const longestRound = 20_000

/** The same, if none is. */
const longestUnknown = 60_000

const longestPause = 120_000

const millis = (sql: SqlClient, column: string) =>
  sql.onDialectOrElse({
    pg: () => `CAST(extract(epoch FROM ${column}) * 1000 AS float8)`,
    orElse: () => `CAST((julianday(${column}) - 2440587.5) * 86400000 AS INTEGER)`
  })

const read = (recipe: Recipe, database: Options["database"]) =>
  database.use((sql) =>
    Effect.gen(function*() {
      const live = recipe.major === 2 ? "dag.is_active" : "NOT dag.is_stale"
      const rows = yield* sql.unsafe<Row>(
        `SELECT dag.dag_id, dag.fileloc, CASE WHEN ${live} THEN 1 ELSE 0 END AS is_live,
           ${millis(sql, "dag.last_parsed_time")} AS parsed_at, source_code
         FROM dag
         ${
          recipe.major === 2
            ? "LEFT JOIN dag_code ON dag_code.fileloc = dag.fileloc"
            : `LEFT JOIN dag_version ON dag_version.dag_id = dag.dag_id AND dag_version.version_number =
                 (SELECT max(version_number) FROM dag_version AS newest WHERE newest.dag_id = dag.dag_id)
               LEFT JOIN dag_code ON dag_code.dag_version_id = dag_version.id`
        }`
      )
      const broken = yield* sql.unsafe<Broken>(
        `SELECT filename, stacktrace, ${millis(sql, "timestamp")} AS at FROM import_error`
      )
      return { rows, broken }
    })
  )
