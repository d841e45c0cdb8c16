/** The DAGs as Airflow has parsed them by now: a function of the deploys, the deletions and the time. */
import type { DagSpec } from "../../Dags.js"
import type { Site } from "./Site.js"

export interface Dag {
  readonly dagId: string
  /** As of the last time its file could be imported. */
  readonly spec: DagSpec
  readonly file: string
  /** The file is still there. */
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
  /** How many there have ever been. */
  errors: number
}

type Event =
  | { readonly _tag: "Parsed"; readonly at: number; readonly dags: ReadonlyArray<DagSpec> }
  | { readonly _tag: "Deleted"; readonly at: number; readonly dagId: string }

/** A deleted DAG whose file is there comes back when the file is parsed the next time. */
export const read = ({ deployment, now, world }: Site): Bag => {
  const deploys = world.deploys.map(({ at, dags }): Event => ({ _tag: "Parsed", at: at + world.timings.parse, dags }))
  const deployed = (at: number) =>
    deploys.filter((deploy) => deploy.at <= at).flatMap((deploy) => deploy._tag === "Parsed" ? [deploy.dags] : []).at(
      -1
    )
  const deletions = deployment.airflow.deletedDags.flatMap(({ at, dagId }): ReadonlyArray<Event> => [
    { _tag: "Deleted", at, dagId },
    {
      _tag: "Parsed",
      at: at + world.timings.reparse,
      dags: deployed(at + world.timings.reparse) ?? []
    }
  ])
  const events = [...deploys, ...deletions].filter((event) => event.at <= now).sort((a, b) => a.at - b.at)
  const bag: Bag = { dags: new Map(), importErrors: [], errors: 0 }
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
    id: bag.importErrors.find((error) => error.file === file)?.id ?? ++bag.errors,
    file,
    stackTrace,
    at
  }))
  for (const [dagId, dag] of bag.dags) bag.dags.set(dagId, { ...dag, isPresent: false, hasImportErrors: false })
  for (const spec of specs) {
    const file = fileOf(spec)
    const known = bag.dags.get(spec.dagId)
    if (broken.has(file)) {
      // one that never could be imported is not known at all
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

/** By name, as both versions list them. */
export const all = (site: Site): ReadonlyArray<Dag> =>
  [...read(site).dags.values()].sort((a, b) => a.dagId < b.dagId ? -1 : 1)

export const find = (site: Site, dagId: string): Dag | undefined => read(site).dags.get(dagId)

/** When its file was parsed last: on request, and every so often. */
export const lastParsed = ({ deployment, now, world }: Site, dag: Dag): number => {
  const asked = (deployment.airflow.reparses.get(dag.file) ?? -Infinity) + world.timings.schedule
  const every = world.timings.reparse
  const regular = dag.isPresent && !dag.hasImportErrors && every > 0
    ? dag.parsedAt + Math.floor((now - dag.parsedAt) / every) * every
    : dag.parsedAt
  return asked <= now ? Math.max(asked, regular) : regular
}

/** Asks for the file to be parsed soon; `false` where that is asked for already. */
export const requestParse = ({ deployment, now, world }: Site, file: string): boolean => {
  const { reparses } = deployment.airflow
  const asked = reparses.get(file)
  if (asked !== undefined && now < asked + world.timings.schedule) return false
  reparses.set(file, now)
  return true
}

const pausesOf = (site: Site, dagId: string) =>
  site.deployment.airflow.pauses.get(dagId) ?? [{ at: 0, paused: find(site, dagId)?.spec.paused ?? true }]

export const isPaused = (site: Site, dagId: string): boolean => pausesOf(site, dagId).at(-1)?.paused ?? true

export const setPaused = (site: Site, dagId: string, paused: boolean) => {
  site.deployment.airflow.pauses.set(dagId, [...pausesOf(site, dagId), { at: site.now, paused }])
}

/** The earliest moment from `from` on at which the DAG is not paused. */
export const unpausedFrom = (site: Site, dagId: string): (from: number) => number => {
  const pauses = pausesOf(site, dagId)
  return (from) =>
    pauses.filter((pause) => pause.at <= from).at(-1)?.paused === false
      ? from
      : pauses.find((pause) => pause.at > from && !pause.paused)?.at ?? Infinity
}

/** The text of the file, written from the DAG that it is instead. */
export const source = (spec: DagSpec, decorators: string): string => {
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
    `from ${decorators} import dag, task`,
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
