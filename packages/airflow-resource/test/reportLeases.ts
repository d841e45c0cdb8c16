/** Made-up leases, the same for the same numbers: tests take turns on a few deployments. */
import { Report } from "airflow-resource"

const start = Date.UTC(2026, 0, 5, 9)

export const leases = (count: number, deployments: number): ReadonlyArray<Report.LeaseRecord> => {
  const free = Array.from({ length: deployments }, () => start)
  return Array.from({ length: count }, (_, index) => {
    const slot = free.indexOf(Math.min(...free))
    const requestedAt = start + index * 9_000
    const granted = Math.max(free[slot]!, requestedAt + 200)
    const reused = index < deployments ? "created" : index % 7 === 0 ? "woken" : "awake"
    const fill = { created: 210_000, woken: 70_000, awake: 1_000 }[reused]
    const verified = granted + fill
    const using = verified + 4_000 + (index * 37) % 9_000
    const ended = using + 15_000 + (index * 7_919) % 80_000
    const released = ended + 2_000
    free[slot] = released
    const isLost = index % 97 === 96
    const lease = Report.ofObserved({
      test: `tests/orders_${index % 12}.test.ts > loads orders > case ${index} with a <b>name</b>`,
      requestedAt,
      steps: [
        { at: requestedAt, activity: "place 1 in the queue: all deployments are leased", waits: true },
        {
          at: granted,
          activity: reused === "created" ? "creating" : reused === "woken" ? "waking" : "minting a token",
          waits: false
        },
        { at: verified, activity: "verifying that it is empty", waits: false },
        { at: using - 2_000, activity: "delivering DAGs and creating the user", waits: false },
        { at: using, activity: "ready", waits: false },
        { at: ended, activity: "pausing DAGs", waits: false }
      ],
      lease: { leaseId: String(index), deploymentName: `airflow-resource-f8cc8a7d-s${slot + 1}-g1`, reused },
      endedAt: ended,
      releasedAt: released,
      isLost
    }, { now: released, passed: !isLost && index % 41 !== 40 })
    return index % 151 !== 150 ? lease : {
      ...lease,
      leaseId: null,
      deployment: null,
      reused: null,
      phases: lease.phases.filter(({ name }) => name === "waiting"),
      outcome: "no Airflow",
      passed: false,
      problem:
        "AcquireTimeout: No deployment was ready for this test within 15m; the last step was: place 1 in the queue."
    }
  })
}
