/** The DAGs that Airflow has parsed so far: a function of the deploys, the deletions and the time. */
import type { DagSpec } from "../../Dags.js"
import type { Airflow } from "./Airflow.js"

export interface Dag {
  readonly dagId: string
  /** From the last time that its file could be imported. */
  readonly spec: DagSpec
  readonly file: string
  /** Whether the file still exists. */
  readonly isPresent: boolean
  readonly hasImportErrors: boolean
  readonly parsedAt: number
  readonly versions: ReadonlyArray<DagVersion>
}

export interface DagVersion {
  readonly number: number
  readonly spec: DagSpec
  readonly createdAt: number
}

export interface ImportError {
  readonly id: number
  readonly file: string
  readonly stackTrace: string
  readonly at: number
}

interface Bag {
  readonly dags: Map<string, Dag>
  importErrors: ReadonlyArray<ImportError>
  /** How many import errors there have ever been. */
  errorCount: number
}

interface Parsed {
  readonly _tag: "Parsed"
  readonly at: number
  readonly dags: ReadonlyArray<DagSpec>
}

interface Deleted {
  readonly _tag: "Deleted"
  readonly at: number
  readonly dagId: string
}

/** A deleted DAG whose file still exists comes back when the file is parsed again. */
export const read = ({ deployment, now, world }: Airflow): Bag => {
  const deploys = world.deploys.map(({ at, dags }): Parsed => ({ _tag: "Parsed", at: at + world.timings.parse, dags }))
  const deletions = deployment.metadata.deletedDags.flatMap(({ at, dagId }): ReadonlyArray<Parsed | Deleted> => {
    const reparsedAt = at + world.timings.reparse
    const dags = deploys.filter((deploy) => deploy.at <= reparsedAt).at(-1)?.dags ?? []
    return [{ _tag: "Deleted", at, dagId }, { _tag: "Parsed", at: reparsedAt, dags }]
  })
  const events = [...deploys, ...deletions].filter((event) => event.at <= now).sort((a, b) => a.at - b.at)
  const bag: Bag = { dags: new Map(), importErrors: [], errorCount: 0 }
  for (const event of events) {
    if (event._tag === "Deleted") bag.dags.delete(event.dagId)
    else parse(bag, event.dags, event.at)
  }
  return bag
}

const parse = (bag: Bag, specs: ReadonlyArray<DagSpec>, at: number) => {
  const broken = new Map(
    specs.flatMap((spec) => spec.importError === undefined ? [] : [[fileOf(spec), spec.importError] as const])
  )
  bag.importErrors = [...broken].map(([file, stackTrace]) => ({
    id: bag.importErrors.find((error) => error.file === file)?.id ?? ++bag.errorCount,
    file,
    stackTrace,
    at
  }))
  for (const [dagId, dag] of bag.dags) bag.dags.set(dagId, { ...dag, isPresent: false, hasImportErrors: false })
  for (const spec of specs) {
    const file = fileOf(spec)
    const known = bag.dags.get(spec.dagId)
    if (broken.has(file)) {
      // a DAG whose file has never been imported is not known at all
      if (known !== undefined) bag.dags.set(spec.dagId, { ...known, isPresent: true, hasImportErrors: true })
      continue
    }
    const versions = known?.versions ?? []
    const isChanged = known === undefined || (known.spec !== spec && fingerprint(known.spec) !== fingerprint(spec))
    bag.dags.set(spec.dagId, {
      dagId: spec.dagId,
      spec,
      file,
      isPresent: true,
      hasImportErrors: false,
      parsedAt: at,
      versions: isChanged ? [...versions, { number: versions.length + 1, spec, createdAt: at }] : versions
    })
  }
}

const fileOf = (spec: DagSpec): string => spec.file ?? `${spec.dagId}.py`

const fingerprint = (spec: DagSpec): string =>
  JSON.stringify(spec, (_, value: unknown) => typeof value === "bigint" ? String(value) : value)

/** Sorted by id, as both API versions return them. */
export const list = (airflow: Airflow): ReadonlyArray<Dag> =>
  [...read(airflow).dags.values()].sort((a, b) => a.dagId < b.dagId ? -1 : 1)

export const get = (airflow: Airflow, dagId: string): Dag | undefined => read(airflow).dags.get(dagId)

/** When the DAG's file was last parsed: on request, or at the regular interval. */
export const lastParsed = ({ deployment, now, world }: Airflow, dag: Dag): number => {
  const requested = (deployment.metadata.reparses.get(dag.file) ?? -Infinity) + world.timings.schedule
  const interval = world.timings.reparse
  const regular = dag.isPresent && !dag.hasImportErrors && interval > 0
    ? dag.parsedAt + Math.floor((now - dag.parsedAt) / interval) * interval
    : dag.parsedAt
  return requested <= now ? Math.max(requested, regular) : regular
}

/** Requests that a file be parsed soon. Returns `false` if that was requested already and is still pending. */
export const requestParse = ({ deployment, now, world }: Airflow, file: string): boolean => {
  const { reparses } = deployment.metadata
  const requested = reparses.get(file)
  if (requested !== undefined && now < requested + world.timings.schedule) return false
  reparses.set(file, now)
  return true
}

const pausesOf = (airflow: Airflow, dagId: string) =>
  airflow.deployment.metadata.pauses.get(dagId) ?? [{ at: 0, paused: get(airflow, dagId)?.spec.paused ?? true }]

export const isPaused = (airflow: Airflow, dagId: string): boolean => pausesOf(airflow, dagId).at(-1)?.paused ?? true

export const setPaused = (airflow: Airflow, dagId: string, paused: boolean) => {
  airflow.deployment.metadata.pauses.set(dagId, [...pausesOf(airflow, dagId), { at: airflow.now, paused }])
}

/** Maps a time to the earliest time, not before it, at which the DAG is not paused; `Infinity` if there is none. */
export const unpausedFrom = (airflow: Airflow, dagId: string): (from: number) => number => {
  const pauses = pausesOf(airflow, dagId)
  return (from) =>
    pauses.filter((pause) => pause.at <= from).at(-1)?.paused === false
      ? from
      : pauses.find((pause) => pause.at > from && !pause.paused)?.at ?? Infinity
}

/** A Python file that defines the DAG with the decorators of this module. */
export const renderSource = (spec: DagSpec, decoratorModule: string): string => {
  const { dagId } = spec
  const name = dagId.replace(/\W/g, "_")
  const tasks = spec.tasks.flatMap((task) => {
    const lines = typeof task.log === "string" ? task.log.split("\n") : task.log
    return [
      `    @task(task_id=${JSON.stringify(task.taskId)})`,
      `    def ${task.taskId.replace(/\W/g, "_")}():`,
      ...lines.map((line) => `        print(${JSON.stringify(line)})`),
      ""
    ]
  })
  return [
    "from datetime import datetime",
    "",
    `from ${decoratorModule} import dag, task`,
    "",
    "",
    `@dag(dag_id=${JSON.stringify(dagId)}, schedule=None, start_date=datetime(2024, 1, 1), tags=${
      JSON.stringify(spec.tags ?? [])
    })`,
    `def ${name}():`,
    ...tasks,
    "",
    `${name}()`,
    ""
  ].join("\n")
}
