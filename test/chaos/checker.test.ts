import { DeploymentId } from "@airflow-resource/core/Deployment"
import { LeaseId } from "@airflow-resource/core/Lease"
import type { PoolEvent, Slot } from "@airflow-resource/core/Slot"
import type { AuditLog } from "@airflow-resource/emulator"
import { assert, describe, it } from "vitest"
import * as Checker from "./checker.js"

/** Events from lines such as `granted a 1/3`: kind, lease, slot/epoch. */
const log = (...lines: ReadonlyArray<string>): ReadonlyArray<PoolEvent> =>
  lines.map((line, at) => {
    const [, kind, lease, slot, epoch, spec] = /^([a-z ]+?) (\w)(?: (\d+)\/(\d+))?(?: for (\S+))?$/.exec(line)!
    return {
      at,
      kind: kind as PoolEvent["kind"],
      leaseId: LeaseId.make(lease!),
      slot: slot === undefined ? null : Number(slot),
      epoch: epoch === undefined ? null : Number(epoch),
      detail: spec ?? ""
    }
  })

const hold = (epoch: number, from: number, to: number | null): Checker.Hold => ({
  deploymentId: "d",
  slot: 1,
  epoch,
  from,
  to
})

const rules = (violations: ReadonlyArray<Checker.Violation>) => violations.map(({ rule }) => rule)

describe("the checker", () => {
  it("finds two holds of one deployment at the same time", () => {
    assert.deepStrictEqual(rules(Checker.doubleHolds([hold(1, 0, 5), hold(2, 4, 9), hold(3, 9, 12)])), ["held twice"])
    assert.deepStrictEqual(Checker.doubleHolds([hold(1, 0, 5), { ...hold(2, 4, 9), deploymentId: "e" }]), [])
  })

  it("ends a lost hold when it expired, and keeps a hold without an end", () => {
    const holds = [hold(1, 0, null), hold(2, 4, 9)]
    assert.deepStrictEqual(rules(Checker.doubleHolds(holds)), ["held twice"])
    assert.deepStrictEqual(Checker.doubleHolds(holds, log("granted a 1/1", "expired a 1/1")), [])
  })

  it("finds epochs that are granted twice, out of order, or while the previous one is held", () => {
    assert.deepStrictEqual(
      Checker.grants(log("granted a 1/1", "freed a 1/1", "granted b 1/2", "expired b 1/2", "granted c 1/3")),
      []
    )
    assert.deepStrictEqual(rules(Checker.grants(log("granted a 1/1", "freed a 1/1", "granted b 1/1"))), [
      "epoch granted twice"
    ])
    assert.deepStrictEqual(rules(Checker.grants(log("granted a 1/2", "freed a 1/2", "granted b 1/1"))), [
      "epoch granted after a newer one"
    ])
    assert.deepStrictEqual(rules(Checker.grants(log("granted a 1/1", "granted b 1/2"))), ["granted while held"])
    // the end of an older hold does not end the current one
    assert.deepStrictEqual(
      rules(Checker.grants(log("granted a 1/1", "freed a 1/1", "granted b 1/2", "freed a 1/1", "granted c 1/3"))),
      ["granted while held"]
    )
  })

  it("finds a ticket that is granted twice, unless it was given back in between", () => {
    assert.deepStrictEqual(rules(Checker.grants(log("granted a 1/1", "freed a 1/1", "granted a 1/2"))), [
      "ticket granted twice"
    ])
    assert.deepStrictEqual(Checker.grants(log("granted a 1/1", "returned a 1/1", "granted a 1/2")), [])
  })

  it("finds every waiting ticket that a newer one overtakes", () => {
    const queue = ["queued a for x", "queued b for x", "queued c for x"]
    assert.deepStrictEqual(Checker.inversions(log(...queue, "granted c 1/1")).map(({ detail }) => detail), [
      "c before a",
      "c before b"
    ])
    assert.deepStrictEqual(Checker.inversions(log(...queue, "lapsed a", "withdrawn b", "granted c 1/1")), [])
    assert.deepStrictEqual(Checker.inversions(log(...queue, "granted a 1/1", "granted b 2/1")), [])
    assert.deepStrictEqual(Checker.inversions(log("queued a for x", "queued b for y", "granted b 1/1")), [])
    assert.lengthOf(
      Checker.inversions(log(...queue, "granted a 1/1", "returned a 1/1", "granted b 1/2")),
      1,
      "a ticket that is given back keeps its place"
    )
  })

  const token = (epoch: number): AuditLog.IssuedRecord => ({
    id: `t${epoch}`,
    name: `airflow-resource 3f 9a s1 e${epoch}`,
    deploymentId: "d",
    createdAt: 0,
    deletedAt: null
  })
  const write = (at: number, epoch: number, more: Partial<AuditLog.RequestRecord> = {}): AuditLog.RequestRecord => ({
    at,
    method: "DELETE",
    path: `/d/api/v1/variables/${Checker.variableOf(1, epoch, 7)}`,
    status: 204,
    token: `t${epoch}`,
    deploymentId: "d",
    ...more
  })
  const issued = [token(1), token(2)]

  it("finds writes that are accepted after a newer holder is ready", () => {
    const holds = [hold(1, 0, null), hold(2, 10, 20)]
    const late = (requests: ReadonlyArray<AuditLog.RequestRecord>) =>
      rules(Checker.lateWrites({ issued, requests }, holds))
    assert.deepStrictEqual(late([write(9, 1), write(10, 1), write(11, 2)]), [])
    assert.deepStrictEqual(late([write(11, 1)]), ["write out of epoch"])
    assert.deepStrictEqual(late([write(11, 1, { path: "/d/api/v1/dags?limit=100", method: "PATCH", status: 200 })]), [
      "write out of epoch"
    ])
    assert.deepStrictEqual(late([write(11, 1, { status: 401 }), write(12, 1, { method: "GET", status: 200 })]), [])
  })

  it("knows the writer of a write with a shared token, and does not blame a reset for its deletions", () => {
    const holds = [hold(1, 0, null), hold(2, 10, 20)]
    const requests = [write(11, 1, { token: "shared" })]
    assert.deepStrictEqual(rules(Checker.lateWrites({ issued, requests }, holds)), ["write out of epoch"])
    const reset = [write(11, 1, { token: "t2" })]
    assert.deepStrictEqual(Checker.lateWrites({ issued, requests: reset }, holds), [])
  })

  it("counts a holder as ready once it has written, even if it has printed nothing", () => {
    assert.deepStrictEqual(rules(Checker.lateWrites({ issued, requests: [write(5, 2), write(5, 1)] }, [])), [
      "write out of epoch"
    ])
    const resetting = [write(5, 1, { token: "t2" }), write(5, 1)]
    assert.deepStrictEqual(Checker.lateWrites({ issued, requests: resetting }, []), [])
  })

  it("finds what another lease left behind, except in a lease that was lost by then", () => {
    const finding = (at: number, ...keys: ReadonlyArray<string>) => ({ slot: 1, epoch: 1, at, keys })
    const events = log("granted a 1/1", "expired a 1/1")
    assert.deepStrictEqual(rules(Checker.dirt([finding(0, "left_by_7")], events)), ["not empty"])
    assert.deepStrictEqual(Checker.dirt([finding(0), finding(1, "left_by_7")], events), [])
  })

  it("finds more deployments than the pool may have", () => {
    const state = (deploymentId: string, status: AuditLog.StateRecord["status"]) => ({ at: 0, deploymentId, status })
    const first = [state("a", "CREATING"), state("a", "HEALTHY"), state("b", "CREATING")]
    assert.deepStrictEqual(rules(Checker.crowds(first, 1)), ["too many deployments"])
    assert.deepStrictEqual(Checker.crowds(first, 2), [])
    assert.deepStrictEqual(
      Checker.crowds([state("a", "CREATING"), state("a", "DELETED"), state("b", "CREATING")], 1),
      []
    )
  })

  it("finds everything that is left over at the end", () => {
    const slot: Slot = {
      number: 1,
      epoch: 3,
      generation: 1,
      name: "s1",
      deploymentId: DeploymentId.make("d"),
      spec: null,
      power: "asleep",
      clean: false,
      busyUntil: null,
      isRequesting: false,
      tokens: { mayExist: false, version: 0 },
      revokedAt: null,
      uses: 1,
      filledAt: null,
      freedAt: null,
      adopted: null,
      quarantine: null,
      holder: null
    }
    const deployment: AuditLog.DeploymentRecord = {
      id: "d",
      name: "s1",
      description: "",
      status: "HIBERNATING",
      hibernationRequested: true,
      tokens: []
    }
    const tidy = { awake: [], deployments: [deployment], tokens: [] }
    assert.deepStrictEqual(Checker.leftovers({ slots: [slot], tickets: [] }, tidy), [])
    const holder = {
      kind: "lease" as const,
      leaseId: LeaseId.make("a"),
      ticket: null,
      owner: { host: "", bootId: "", pid: 1, startedAt: "" },
      label: "a test",
      activity: "",
      since: 0,
      deadline: 0,
      maxUntil: 0,
      fenced: true,
      lock: null
    }
    assert.deepStrictEqual(
      rules(Checker.leftovers({ slots: [{ ...slot, holder }], tickets: [{ key: "k" }] }, {
        awake: ["s1"],
        deployments: [{ ...deployment, id: "other" }],
        tokens: [{ id: "t", name: "t", deploymentId: "other" }]
      })),
      [
        "slot not free",
        "ticket left over",
        "awake",
        "token left over",
        "deployment not in the ledger",
        "deployment does not exist"
      ]
    )
  })
})
