/** What a test knows of its leases, in vitest's `task.meta`, which vitest sends to its reporters. */
import type { Report } from "airflow-resource"
import * as Predicate from "effect/Predicate"
import * as RealTime from "./realTime.js"

type Writable<A> = { -readonly [Name in keyof A]: A[Name] }

/** Plain data: vitest copies it. */
export type Observed = Writable<Omit<Report.Observed, "steps">> & {
  readonly steps: Array<Report.Observed["steps"][number]>
}

export interface Observation {
  readonly observed: Observed
  readonly onProgress: (progress: { readonly activity: string; readonly wait?: unknown }) => void
  readonly isReady: (lease: Pick<NonNullable<Observed["lease"]>, "deploymentName" | "leaseId" | "reused">) => void
  /** There is no Airflow, or the lease is lost. */
  readonly fails: (error: unknown) => void
  /** The release begins. */
  readonly ends: () => void
  readonly isReleased: () => void
}

export const begin = (test: string): Observation => {
  const observed: Observed = { test, requestedAt: RealTime.now(), steps: [] }
  return {
    observed,
    onProgress: ({ activity, wait }) => {
      observed.steps.push({ at: RealTime.now(), activity, waits: wait !== undefined })
    },
    isReady: ({ deploymentName, leaseId, reused }) => {
      observed.lease = { deploymentName, leaseId, reused }
    },
    fails: (error) => {
      const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error"
      if (observed.lease !== undefined) observed.isLost ||= tag === "LeaseLost"
      else observed.failure ??= { tag, message: error instanceof Error ? firstLine(error.message) : "" }
    },
    ends: () => {
      observed.endedAt ??= RealTime.now()
    },
    isReleased: () => {
      observed.releasedAt ??= RealTime.now()
    }
  }
}

/** Adds a lease to what a task says about itself. Later changes are seen, too, until the task has ended. */
export const attach = (task: { readonly meta: object }, { observed }: Observation): void => {
  const known = of(task.meta)
  if (!known.includes(observed)) Reflect.set(task.meta, key, [...known, observed])
}

/** The leases that a task has had, one for each time that it was tried. */
export const of = (meta: object): ReadonlyArray<Report.Observed> => {
  const value: unknown = Reflect.get(meta, key)
  return Array.isArray(value) ? value : []
}

// internal

const key = "airflowResource"

const firstLine = (text: string) => text.split("\n", 1)[0]!
