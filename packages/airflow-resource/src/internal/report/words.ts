/** What a report calls things, in text and on the page. */
import { ago } from "../text.js"
import type { LeaseRecord, PhaseName, Report, Reused } from "./model.js"
import { millisIn } from "./totals.js"

export const phases: Record<PhaseName, string> = {
  waiting: "waiting for a deployment",
  creating: "creating it",
  waking: "waking it",
  resetting: "verifying and resetting",
  delivering: "delivering DAGs",
  using: "in use",
  releasing: "giving it back"
}

export const reused: Record<Reused, string> = { created: "created", woken: "woken", awake: "handed over" }

/** `0.4s`, `12s`, `3m 7s`. */
export const duration = (millis: number): string =>
  millis <= 0 ? "0s" : millis < 10_000 ? `${Math.max(0.1, Math.round(millis / 100) / 10)}s` : ago(millis)

/** The columns of a lease, in the order of {@link columns}, all but the test. */
export const cells = (lease: LeaseRecord): ReadonlyArray<string> => [
  outcomeOf(lease),
  lease.reused === null ? "-" : reused[lease.reused],
  duration(millisIn(lease, "waiting")),
  duration(millisIn(lease, "creating", "waking")),
  duration(millisIn(lease, "resetting")),
  duration(millisIn(lease, "using")),
  lease.deployment ?? (lease.slot === null ? "-" : `slot ${lease.slot}`)
]

export const columns = ["outcome", "Airflow", "waited", "started in", "reset", "used", "deployment"] as const

/** The sums, one a line. */
export const totals = ({ totals }: Report): ReadonlyArray<readonly [name: string, text: string]> => {
  const { awake, created, deployments, held, lost, saved, withoutAirflow, woken } = totals
  const troubles = [
    ...(lost === 0 ? [] : [`${lost} lost`]),
    ...(withoutAirflow === 0 ? [] : [`${withoutAirflow} without an Airflow`])
  ]
  return [
    [
      "leases",
      [
        `${totals.leases} on ${deployments} ${deployments === 1 ? "deployment" : "deployments"}`,
        `${created} created, ${woken} woken, ${awake} handed over`,
        ...troubles
      ].join("; ")
    ],
    ["waited", duration(totals.waited)],
    ["used", duration(totals.used)],
    ["reset", duration(totals.reset)],
    ["deployment-minutes", (held / 60_000).toFixed(1)],
    ...(saved === null
      ? []
      : [
        [
          "saved by reuse",
          `${duration(saved.millis)}, compared with creating one for each test in ${duration(saved.creation)} (${
            saved.basis === "measured" ? "measured here" : "typical for Astro: none was created here"
          })`
        ] as const
      ])
  ]
}

// internal

const outcomeOf = ({ outcome, passed }: LeaseRecord) =>
  outcome === "no Airflow" || outcome === "lost"
    ? outcome
    : passed === null
    ? outcome
    : passed
    ? "passed"
    : "failed"
