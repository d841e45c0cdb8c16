/** The data of a report. */

/**
 * What a lease spends its time on, in this order. `creating` and `waking` last until Airflow responds. `resetting` includes
 * verifying that the deployment is empty.
 *
 * @since 0.1.0
 * @category models
 */
export type PhaseName = "waiting" | "creating" | "waking" | "resetting" | "delivering" | "using" | "releasing"

/**
 * Times are milliseconds since 1970.
 *
 * @since 0.1.0
 * @category models
 */
export interface Phase {
  readonly name: PhaseName
  readonly from: number
  readonly to: number
}

/**
 * Where the deployment of a lease came from: it was handed over `awake`, it was woken, or it was created.
 *
 * @since 0.1.0
 * @category models
 */
export type Reused = "awake" | "woken" | "created"

/**
 * How a lease ended. `open`: it has not ended yet. `no Airflow`: it ended before there was an Airflow.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = "released" | "lost" | "no Airflow" | "open"

/**
 * One lease.
 *
 * @since 0.1.0
 * @category models
 */
export interface LeaseRecord {
  /** `null`: it is unknown, because there was no Airflow. */
  readonly leaseId: string | null
  readonly test: string
  /** The number of the slot in the pool, if it is known. */
  readonly slot: number | null
  /** The name of the deployment, if it is known. */
  readonly deployment: string | null
  readonly reused: Reused | null
  /** Without gaps. */
  readonly phases: ReadonlyArray<Phase>
  readonly outcome: Outcome
  /** Whether the test passed. `null`: it is unknown. */
  readonly passed: boolean | null
  /** Why there was no Airflow, or why the lease did not end well. Never what a test failed with. */
  readonly problem: string | null
}

/**
 * What a test knows of its lease. Plain data, without a secret.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observed {
  readonly test: string
  readonly requestedAt: number
  /** What the lease reported as its progress. */
  readonly steps: ReadonlyArray<{ readonly at: number; readonly activity: string; readonly waits: boolean }>
  /** Missing if there was no Airflow. */
  readonly lease?: {
    readonly leaseId: string
    readonly deploymentName: string
    readonly reused: Reused
  }
  /** When its release began, and when it was over. */
  readonly endedAt?: number
  readonly releasedAt?: number
  readonly isLost?: boolean
  /** Why there was no Airflow. */
  readonly failure?: { readonly tag: string; readonly message: string }
}

/**
 * The sums of a report. Times are milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Totals {
  readonly leases: number
  readonly created: number
  readonly woken: number
  /** Handed over awake. */
  readonly awake: number
  readonly lost: number
  readonly withoutAirflow: number
  /** How many different ones were leased. */
  readonly deployments: number
  readonly waited: number
  /** Creating and waking. */
  readonly filled: number
  readonly reset: number
  readonly delivered: number
  readonly used: number
  readonly released: number
  /** How long leases had deployments to themselves, from the grant to the end of the release. */
  readonly held: number
  /** `null`: nothing was reused, or what a creation takes is unknown. */
  readonly saved: Saved | null
}

/**
 * What reuse saved, compared with creating a deployment for each lease.
 *
 * @since 0.1.0
 * @category models
 */
export interface Saved {
  readonly millis: number
  /** How long a creation takes, until the deployment can be used. */
  readonly creation: number
  /** The mean of the report's own creations; or, if there are none, what is typical for Astro. */
  readonly basis: "measured" | "typical"
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly title: string
  /** When it was made, in milliseconds since 1970. */
  readonly at: number
  /** In the order in which they were requested. */
  readonly leases: ReadonlyArray<LeaseRecord>
  readonly totals: Totals
}
