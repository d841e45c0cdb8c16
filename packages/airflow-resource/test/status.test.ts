import type { DeploymentPool, Host, Slot } from "@airflow-resource/core"
import { DeploymentId } from "@airflow-resource/core/Deployment"
import { assert, it } from "@effect/vitest"
import { Lease } from "airflow-resource"
import * as Status from "../src/internal/status.js"

const now = Date.UTC(2026, 10, 25, 12, 0, 0)
const minute = 60_000
const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const
const owner = (pid: number): Slot.Owner => ({ host: "ci-7", bootId: "b", pid, startedAt: "1" })
const host: Host.Host = { owner: owner(1), isGone: ({ pid }) => pid === 404, uptime: () => null }

const slot = (number: number, facts: Partial<Slot.Slot>): Slot.Slot => ({
  number,
  epoch: 1,
  generation: 1,
  name: `pool-s${number}-g1`,
  deploymentId: DeploymentId.make(`d${number}`),
  spec,
  power: "asleep",
  clean: false,
  busyUntil: null,
  isRequesting: false,
  tokens: { mayExist: false, version: 0 },
  revokedAt: null,
  uses: 1,
  filledAt: now,
  freedAt: null,
  adopted: null,
  quarantine: null,
  holder: null,
  ...facts
})
const holder = (pid: number, facts: Partial<Slot.Holder> = {}): Slot.Holder => ({
  kind: "lease",
  leaseId: Lease.LeaseId.make(`lease-${pid}`),
  ticket: `t${pid}`,
  owner: owner(pid),
  label: `test ${pid}`,
  activity: "in use",
  since: now - 125 * minute,
  deadline: now + minute,
  maxUntil: now + minute,
  fenced: true,
  lock: null,
  ...facts
})

const upkeep: Slot.LockHolder = { holderId: "u", label: "upkeep", owner: owner(9), deadline: now + minute }

const snapshot: DeploymentPool.PoolSnapshot = {
  rules: { poolId: "abc", max: 5, ttl: minute, maxHold: minute, longestRequest: 0 },
  now,
  slots: [
    slot(2, { quarantine: { reason: "cannot be\nemptied", failures: 2, until: now + minute } }),
    slot(1, { power: "awake", holder: holder(12, { fenced: false }) }),
    slot(3, { power: "unknown", holder: holder(404) }),
    slot(4, { power: "awake", clean: true, adopted: { overrideUntil: null } }),
    slot(5, { name: null, deploymentId: null, spec: null, power: "unknown", busyUntil: now + minute })
  ],
  tickets: [],
  upkeep: { epoch: 1, holder: upkeep },
  runs: [],
  lockUses: []
}
const reaper = { isOn: true, log: "/reaper.log" }
const status = Status.of(snapshot, host, "/cache.db", reaper)

it("shows what is unusual about each slot", () => {
  assert.strictEqual(
    Status.render(status),
    `cache   /cache.db
pool    abc, 4 of at most 5 deployments
upkeep  active (process 9 on ci-7)
reaper  on, its log is /reaper.log

slot  deployment  spec                     power    state
1     pool-s1-g1  13.1.0 on aws us-east-1  awake    leased to test 12 for 2h 5m (process 12 on ci-7): in use; UNFENCED
2     pool-s2-g1  13.1.0 on aws us-east-1  asleep   free; quarantine until 12:01:00 UTC, failed 2×: cannot be emptied
3     pool-s3-g1  13.1.0 on aws us-east-1  unknown  leased to test 404 for 2h 5m (process 404 on ci-7): in use; OVERDUE, OR ITS PROCESS HAS ENDED: process 9 will clean it up
4     pool-s4-g1  13.1.0 on aws us-east-1  awake    free, clean; adopted
5     -           -                        unknown  free; may still be changing until 12:01:00 UTC; empty`
  )
})

it("keeps the keys of the JSON stable", () => {
  assert.deepStrictEqual(Object.keys(status), ["cache", "pool", "max", "at", "upkeep", "reaper", "slots", "queue"])
  assert.deepStrictEqual(status.slots[1]?.quarantine, {
    reason: "cannot be emptied",
    failures: 2,
    until: "2026-11-25T12:01:00.000Z"
  })
  // no upkeep; its deadline has passed; its process has ended
  for (const holder of [null, { ...upkeep, deadline: now }, { ...upkeep, owner: owner(404) }]) {
    assert.isNull(Status.of({ ...snapshot, upkeep: { epoch: 1, holder } }, host, "", reaper).upkeep)
  }
})
