import type { Slot } from "@airflow-resource/core"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResource, AirflowResources, DeploymentPool, Report } from "airflow-resource"
import { Deferred, Effect } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { colours } from "../src/internal/report/style.js"
import { leases } from "./reportLeases.js"

const shapeOf = ({ outcome, phases, reused, test }: Report.LeaseRecord): Record<string, unknown> => ({
  test,
  reused,
  outcome,
  phases: phases.map(({ name }) => name)
})

const isContiguous = ({ phases }: Report.LeaseRecord) =>
  phases.every(({ from, to }, index) => from < to && (index === 0 || phases[index - 1]!.to === from))

const event = (
  at: number,
  kind: Slot.EventKind,
  detail = "",
  leaseId = "l"
) => ({ at, kind, detail, leaseId, slot: kind === "queued" ? null : 1, epoch: null } as Slot.PoolEvent)

describe("the leases of a pool", () => {
  it.live("have the same phases in the ledger and in what their tests observe", () =>
    Effect.gen(function*() {
      const pool = yield* DeploymentPool.DeploymentPool
      const observed: Array<Report.LeaseRecord> = []
      const lease = (test: string, used: Effect.Effect<unknown, unknown> = Effect.void) =>
        Effect.gen(function*() {
          const steps: Array<Report.Observed["steps"][number]> = []
          const now = Effect.clockWith((clock) => clock.currentTimeMillis)
          const requestedAt = yield* now
          const [resource, endedAt] = yield* AirflowResource.use(
            {
              testName: test,
              onProgress: ({ activity, at, wait }) =>
                Effect.sync(() => void steps.push({ activity, at, waits: wait !== undefined }))
            },
            (resource) => Effect.map(Effect.zipRight(used, now), (endedAt) => [resource, endedAt] as const)
          )
          const releasedAt = yield* now
          const { deploymentName, leaseId, reused } = resource
          observed.push(Report.ofObserved({
            test,
            requestedAt,
            steps,
            lease: { deploymentName, leaseId, reused },
            endedAt,
            releasedAt
          }, { now: releasedAt }))
        })
      const gate = yield* Deferred.make<void>()
      const isQueued = Effect.repeat(pool.inspect, {
        until: ({ tickets }) => tickets.some(({ state }) => state === "waiting")
      })
      yield* Effect.all([
        lease("first", Effect.zipRight(Deferred.succeed(gate, undefined), isQueued)),
        Effect.zipRight(Deferred.await(gate), lease("second"))
      ], { concurrency: 2 })
      yield* lease("third")

      const { now, slots } = yield* pool.inspect
      const recorded = Report.ofLedger({ events: yield* pool.events(), slots, now })
      const held = ["resetting", "delivering", "using", "releasing"]
      const expected = [
        { test: "first", reused: "created", outcome: "released", phases: ["waiting", "creating", ...held] },
        { test: "second", reused: "awake", outcome: "released", phases: ["waiting", ...held] },
        { test: "third", reused: "woken", outcome: "released", phases: ["waiting", "waking", ...held] }
      ]
      assert.deepStrictEqual(observed.map(shapeOf), expected)
      assert.deepStrictEqual(recorded.map(shapeOf), expected)
      for (const lease of [...observed, ...recorded]) {
        assert.isTrue(isContiguous(lease), JSON.stringify(lease))
        assert.strictEqual(lease.deployment, slots[0]!.name)
      }
      assert.deepStrictEqual(recorded.map(({ leaseId }) => leaseId), observed.map(({ leaseId }) => leaseId))
    }).pipe(
      Effect.provide(AirflowResources.layerEmulator({ emulator: { speed: 200 }, delivery: "none", pool: { max: 1 } }))
    ))

  it("may end without an Airflow, be lost, or be open", () => {
    const of = (...events: ReadonlyArray<Slot.PoolEvent>) =>
      Report.ofLedger({ events, slots: [], now: 100 }).map(({ outcome, phases, problem }) => ({
        outcome,
        problem,
        phases: phases.map(({ from, name, to }) => `${name} ${from}-${to}`)
      }))
    const queued = event(1, "queued", "t")
    const granted = event(5, "granted", "slot 1, epoch 1")
    assert.deepStrictEqual(of(queued, event(9, "withdrawn")), [
      { outcome: "no Airflow", problem: "gave up waiting", phases: ["waiting 1-9"] }
    ])
    assert.deepStrictEqual(of(queued, event(9, "lapsed", "t")), [
      { outcome: "no Airflow", problem: "its process ended while it waited", phases: ["waiting 1-9"] }
    ])
    assert.deepStrictEqual(
      of(queued, granted, event(6, "step", "waking"), event(20, "freed"), event(20, "quarantined", "is not ready\n")),
      [{ outcome: "no Airflow", problem: "is not ready", phases: ["waiting 1-5", "waking 5-20"] }]
    )
    assert.deepStrictEqual(of(queued, granted, event(7, "step", "in use"), event(60, "expired", "stopped beating")), [
      { outcome: "lost", problem: "stopped beating", phases: ["waiting 1-5", "resetting 5-7", "using 7-60"] }
    ])
    assert.deepStrictEqual(
      of(queued, granted, event(7, "returned"), event(30, "granted"), event(40, "step", "creating")),
      [
        { outcome: "open", problem: null, phases: ["waiting 1-5", "creating 5-7", "waiting 7-30", "creating 30-100"] }
      ]
    )
  })

  it("are those that were queued: upkeep's holds are none, nor is one whose beginning is forgotten", () => {
    const events = [event(1, "granted", "upkeep", "u"), event(2, "freed", "", "u"), event(3, "freed", "", "old")]
    assert.deepStrictEqual(Report.ofLedger({ events, slots: [], now: 9 }), [])
  })

  it("without an Airflow say why, in one line", () => {
    const { outcome, phases, problem } = Report.ofObserved({
      test: "t",
      requestedAt: 0,
      steps: [{ at: 5, activity: "place 1 in the queue: …", waits: true }],
      failure: { tag: "AcquireTimeout", message: "too\nlate" }
    }, { now: 50, passed: false })
    assert.deepStrictEqual({ outcome, phases, problem }, {
      outcome: "no Airflow",
      phases: [{ name: "waiting", from: 0, to: 50 }],
      problem: "AcquireTimeout: too late"
    })
  })
})

describe("what reuse saved", () => {
  const lease = (reused: Report.Reused, millis: number): Report.LeaseRecord => ({
    ...leases(1, 1)[0]!,
    reused,
    phases: [
      { name: reused === "created" ? "creating" : reused === "woken" ? "waking" : "resetting", from: 0, to: millis },
      { name: "using", from: millis, to: millis + 60_000 }
    ]
  })
  const savedBy = (...leases: ReadonlyArray<Report.LeaseRecord>) =>
    Report.make({ title: "t", at: 0, leases, typicalCreation: Report.typicalCreation }).totals.saved

  it("is compared with the creations that were measured, or with typical ones", () => {
    assert.deepStrictEqual(
      savedBy(lease("created", 300), lease("created", 100), lease("woken", 50), lease("awake", 20)),
      {
        millis: 330,
        creation: 200,
        basis: "measured"
      }
    )
    assert.deepStrictEqual(savedBy(lease("woken", 60_000)), { millis: 180_000, creation: 240_000, basis: "typical" })
    assert.isNull(savedBy(lease("created", 300)))
    assert.isNull(Report.make({ title: "t", at: 0, leases: [lease("woken", 5)] }).totals.saved)
  })

  it("and the time that deployments were held do not count the wait", () => {
    const { totals } = Report.make({ title: "t", at: 0, leases: leases(20, 2) })
    assert.strictEqual(totals.held, totals.filled + totals.reset + totals.delivered + totals.used + totals.released)
    assert.isAbove(totals.waited, 0)
    assert.deepInclude(totals, { leases: 20, deployments: 2, created: 2 })
  })
})

describe("the page", () => {
  const hostile = `<script>alert("x")</script> & 'y' </title>\u001b[2J\ud800`
  const [lease] = leases(1, 1) as [Report.LeaseRecord]
  const page = Report.html(Report.make({
    title: hostile,
    at: 0,
    leases: [{ ...lease, test: hostile, deployment: hostile, problem: hostile }, ...leases(3, 2)]
  }))

  it("is well-formed, and escapes all text", () => {
    const open: Array<string> = []
    for (const [, slash, name] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:\s+[a-z-]+="[^"<>]*")*\s*>/gi)) {
      if (name === "meta") continue
      if (slash === "") open.push(name!)
      else assert.strictEqual(open.pop(), name)
    }
    assert.deepStrictEqual(open, [])
    const rest = page.replace("<!doctype html>", "").replace(/<style>[^]*?<\/style>/, "")
      .replace(/<\/?[a-z][a-z0-9]*(?:\s+[a-z-]+="[^"<>]*")*\s*>/gi, "")
    assert.notMatch(rest, /[<>"']|&(?!#\d+;)/)
    assert.include(rest, "&#60;script&#62;")
    // oxlint-disable-next-line no-control-regex
    assert.notMatch(page, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|\p{Cs}/u)
  })

  it("needs no other file, runs no script, and says what each bar means", () => {
    assert.notMatch(page, /<script|<link|url\(|@import|https?:|\son[a-z]+=/i)
    for (const name of ["waiting", "creating", "resetting", "delivering", "using", "releasing"]) {
      assert.include(page, `<rect class="${name}"`)
    }
    assert.match(page, /<title>[^<]*: in use, 15s<\/title>/)
  })

  it("says the same in its table, and as text and data", () => {
    const report = Report.make({ title: "t", at: 0, leases: leases(500, 6) })
    assert.lengthOf(Report.html(report).match(/<tr[^>]*><th scope="row"/g)!, 500)
    const text = Report.text(report)
    assert.match(text, /^outcome +Airflow +waited +started in +reset +used +deployment +test\n/)
    assert.match(
      text,
      /^leases +500 on 6 deployments; 6 created, 70 woken, 421 handed over; 5 lost; 3 without an Airflow$/m
    )
    assert.include(text, "No deployment was ready for this test within 15m")
    const data = Report.json(report)
    assert.lengthOf(data.leases, 500)
    assert.deepInclude(data.leases[0]!.phases[1]!, { name: "creating", seconds: 210, from: "2026-01-05T09:00:00.200Z" })
    assert.strictEqual(Report.text(Report.make({ title: "t", at: 0, leases: [] })), "No Airflow was leased.")
  })
})

describe("the colours of the phases", () => {
  const channels = (colour: string) =>
    [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((c) =>
      c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
    ) as [number, number, number]
  const luminance = (colour: string) => {
    const [r, g, b] = channels(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const contrast = (a: string, b: string) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number]
    return (high + 0.05) / (low + 0.05)
  }
  /** Machado et al. 2009, without any red, green or blue receptors. */
  const visions = {
    usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]]
  }
  /** In CIELAB. */
  const seen = (colour: string, vision: ReadonlyArray<ReadonlyArray<number>>) => {
    const rgb = channels(colour)
    const [r, g, b] = vision.map((row) =>
      Math.min(1, Math.max(0, row.reduce((sum, factor, index) => sum + factor * rgb[index]!, 0)))
    ) as [number, number, number]
    const f = (t: number) => t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116
    const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047)
    const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b)
    const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883)
    return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
  }
  for (const [scheme, { background, ...phases }] of Object.entries(colours)) {
    it(`differ in the ${scheme} scheme for every kind of vision, and from the background`, () => {
      const all = Object.entries(phases)
      for (const [name, colour] of all) assert.isAtLeast(contrast(colour, background), 3, name)
      for (const [vision, matrix] of Object.entries(visions)) {
        for (const [index, [a, first]] of all.entries()) {
          for (const [b, second] of all.slice(index + 1)) {
            const [one, other] = [seen(first, matrix), seen(second, matrix)]
            assert.isAtLeast(Math.hypot(...one.map((x, at) => x - other[at]!)), 25, `${a}, ${b}: ${vision}`)
          }
        }
      }
    })
  }
})

describe("the file of a report", () => {
  it("is written into a folder that is created, or not at all", () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-test-"))
    const file = path.join(folder, "a", "b", "report.html")
    Report.save(file, "page")
    assert.strictEqual(fs.readFileSync(file, "utf8"), "page")
    assert.throws(() => Report.save(path.join(file, "c.html"), "page"), /ENOTDIR/)
    fs.rmSync(folder, { recursive: true })
    if (fs.existsSync("/proc")) assert.throws(() => Report.save("/proc/x/report.html", "page"), /ENOENT/)
  })
})
