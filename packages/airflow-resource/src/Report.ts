/**
 * What leases did, and how long each part of it took: as data, as text, and as a page.
 *
 * @since 0.1.0
 */
import type { PoolEvent, Slot } from "@airflow-resource/core/Slot"
import * as DateTime from "effect/DateTime"
import * as fs from "node:fs"
import * as path from "node:path"
import { page } from "./internal/report/html.js"
import * as Ledger from "./internal/report/ledger.js"
import type { LeaseRecord, Observed, Report } from "./internal/report/model.js"
import * as Timeline from "./internal/report/timeline.js"
import * as Totals_ from "./internal/report/totals.js"
import * as Words from "./internal/report/words.js"
import { oneLine, table } from "./internal/text.js"

export type {
  LeaseRecord,
  Observed,
  Outcome,
  Phase,
  PhaseName,
  Report,
  Reused,
  Saved,
  Totals
} from "./internal/report/model.js"

/**
 * How long creating a deployment on Astro takes, in milliseconds, where none was measured: 3 to 5 minutes are typical, and
 * the astro CLI's `--wait` waits 3 minutes before it looks for the first time.
 *
 * @since 0.1.0
 * @category config
 */
export const typicalCreation = 4 * 60_000

/**
 * A report of these leases.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  { at, leases, title, typicalCreation }: {
    readonly title: string
    readonly at: number
    readonly leases: ReadonlyArray<LeaseRecord>
    /** Compared with if no deployment was created [nothing]. */
    readonly typicalCreation?: number | undefined
  }
): Report => ({
  title: oneLine(title),
  at,
  leases: [...leases].sort((a, b) => startOf(a) - startOf(b)),
  totals: Totals_.of(leases, typicalCreation)
})

/**
 * The leases in a pool's ledger, which knows those of the last 30 days.
 *
 * @example
 * ```ts
 * import { DeploymentPool, Report } from "airflow-resource"
 * import { Effect } from "effect"
 *
 * export const page = Effect.gen(function*() {
 *   const pool = yield* DeploymentPool.DeploymentPool
 *   const { now, slots } = yield* pool.inspect
 *   const leases = Report.ofLedger({ events: yield* pool.events(), slots, now })
 *   return Report.html(Report.make({ title: "The last 30 days", at: now, leases }))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofLedger: (ledger: {
  readonly events: ReadonlyArray<PoolEvent>
  /** The ledger's time. */
  readonly now: number
  readonly slots: ReadonlyArray<Slot>
}) => ReadonlyArray<LeaseRecord> = Ledger.leases

/**
 * A lease, as its test has seen it. `now` is the end of what has not ended.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofObserved = (
  { endedAt, failure, isLost, lease, releasedAt, requestedAt, steps, test }: Observed,
  { now, passed = null }: { readonly now: number; readonly passed?: boolean | null | undefined }
): LeaseRecord => {
  const marks: Array<Timeline.Mark> = [{ at: requestedAt, stage: "waiting" }]
  for (const { activity, at, waits } of steps) {
    const before = marks.at(-1)!.stage
    marks.push({ at, stage: waits ? "waiting" : Timeline.stageOf(activity, before) })
  }
  const firstStepAfter = (time: number) => marks.findIndex(({ at }) => at >= time)
  if (endedAt !== undefined && lease !== undefined) {
    const index = firstStepAfter(endedAt)
    marks.splice(index < 0 ? marks.length : index, 0, { at: endedAt, stage: "releasing" })
  }
  const reused = lease?.reused ?? Timeline.reusedBy(steps.map(({ activity }) => activity))
  const isOver = failure !== undefined || endedAt !== undefined
  return {
    leaseId: lease?.leaseId ?? null,
    test: oneLine(test),
    slot: null,
    deployment: lease?.deploymentName ?? null,
    reused: lease === undefined ? null : reused,
    phases: Timeline.phases(marks, releasedAt ?? now, reused),
    outcome: lease === undefined
      ? isOver ? "no Airflow" : "open"
      : isLost === true
      ? "lost"
      : isOver
      ? "released"
      : "open",
    passed,
    problem: failure === undefined ? null : oneLine(`${failure.tag}: ${failure.message}`)
  }
}

/**
 * A report as text for a terminal.
 *
 * @since 0.1.0
 * @category accessors
 */
export const text = (report: Report): string =>
  report.leases.length === 0
    ? "No Airflow was leased."
    : [
      table([
        [...Words.columns, "test"],
        ...report.leases.map((lease) => [...Words.cells(lease), lease.test])
      ]),
      "",
      ...report.leases.flatMap(({ problem, test }) => problem === null ? [] : [`${test}: ${problem}`]),
      table(Words.totals(report))
    ].join("\n")

/**
 * A report as plain data: times as ISO 8601, durations in seconds.
 *
 * @since 0.1.0
 * @category accessors
 */
export const json = ({ at, leases, title, totals: { saved, ...totals } }: Report) => {
  const time = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))
  const seconds = (millis: number) => Math.round(millis) / 1000
  const { awake, created, deployments, leases: count, lost, withoutAirflow, woken, ...durations } = totals
  return {
    title,
    at: time(at),
    leases: leases.map(({ phases, ...lease }) => ({
      ...lease,
      phases: phases.map(({ from, name, to }) => ({
        name,
        from: time(from),
        to: time(to),
        seconds: seconds(to - from)
      }))
    })),
    totals: {
      leases: count,
      created,
      woken,
      awake,
      lost,
      withoutAirflow,
      deployments,
      waited: seconds(durations.waited),
      filled: seconds(durations.filled),
      reset: seconds(durations.reset),
      delivered: seconds(durations.delivered),
      used: seconds(durations.used),
      released: seconds(durations.released),
      held: seconds(durations.held),
      saved: saved === null
        ? null
        : { seconds: seconds(saved.millis), creation: seconds(saved.creation), basis: saved.basis }
    }
  }
}

/**
 * A report as one HTML page, which needs no other file and runs no script. What tests are called is escaped.
 *
 * @example
 * ```ts
 * import { Report } from "airflow-resource"
 *
 * const lease = Report.ofObserved({
 *   test: "greets",
 *   requestedAt: 0,
 *   steps: [
 *     { at: 0, activity: "creating", waits: false },
 *     { at: 60_000, activity: "ready", waits: false }
 *   ],
 *   lease: { leaseId: "1f", deploymentName: "pool-s1-g1", reused: "created" },
 *   endedAt: 90_000
 * }, { now: 95_000 })
 * export const page = Report.html(Report.make({ title: "One test", at: 95_000, leases: [lease] }))
 * ```
 *
 * @since 0.1.0
 * @category accessors
 */
export const html: (report: Report) => string = page

/**
 * Writes a file, and creates its folder. Throws Node's error if it cannot.
 *
 * @since 0.1.0
 * @category accessors
 */
export const save = (file: string, content: string): void => {
  const createFolder = (folder: string): void => {
    if (fs.existsSync(folder)) return
    createFolder(path.dirname(folder))
    // not `recursive`: below a folder such as /proc, which accepts none, Node 20 would try for ever
    fs.mkdirSync(folder)
  }
  createFolder(path.dirname(path.resolve(file)))
  fs.writeFileSync(file, content)
}

// internal

const startOf = ({ phases }: LeaseRecord) => phases[0]?.from ?? 0
