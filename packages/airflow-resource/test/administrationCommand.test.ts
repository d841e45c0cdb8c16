import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { parse } from "../src/internal/command/command.js"
import { world } from "./world.js"

const linesOf = (text: string) => text.trim().split("\n")
const documentsOf = (text: string) => linesOf(text).map((line) => JSON.parse(line))
const errorOf = (text: string) => JSON.parse(text).error

describe("airflow-resource events", () => {
  it.scopedLive("prints what happened, and each new event once", () =>
    Effect.gen(function*() {
      const { begin, hold, run } = yield* world()
      assert.deepInclude(yield* run("events"), { code: 0, stdout: "", stderr: "" })
      const one = yield* hold("one\n\u001b[2J")
      yield* one.deploymentName
      yield* one.end

      const all = documentsOf((yield* run("events", "--json")).stdout)
      assert.deepInclude(all[0], { kind: "queued", slot: null, epoch: null })
      assert.deepInclude(all[1], { kind: "granted", slot: 1, epoch: 1, leaseId: all[0].leaseId })
      assert.strictEqual(all.at(-1).kind, "freed")
      assert.match(all[0].at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
      const text = linesOf((yield* run("events")).stdout)
      assert.lengthOf(text, all.length)
      assert.match(text[0]!, /^\d{4}\S+Z +[0-9a-f]{16} +queued +one \[2J/)
      assert.match(text[1]!, /Z  slot 1 e1 +[0-9a-f]{16} +granted +/)
      assert.deepStrictEqual(linesOf((yield* run("events", "--last", "2")).stdout), text.slice(-2))

      const follower = yield* begin("events", "--follow", "--json", "--last", "3")
      yield* follower.prints("stdout", "freed")
      const two = yield* hold("two")
      yield* two.deploymentName
      yield* two.end
      const now = documentsOf((yield* run("events", "--json")).stdout)
      yield* follower.prints("stdout", JSON.stringify(now.at(-1)))
      follower.child.kill("SIGINT")
      const ended = yield* follower.ended
      assert.deepInclude(ended, { code: 130, stderr: "" })
      assert.deepStrictEqual(documentsOf(ended.stdout), now.slice(all.length - 3))
    }).pipe(Effect.provide(NodeContext.layer)), 600_000)
})

describe("airflow-resource release", () => {
  it.scopedLive("says what it would end, ends it with --yes, and tidies up", () =>
    Effect.gen(function*() {
      const { hold, inspect, run } = yield* world()
      const hangs = yield* hold("hangs")
      const name = yield* hangs.deploymentName

      const preview = yield* run("release", "1")
      assert.strictEqual(preview.code, 2)
      assert.match(preview.stdout, new RegExp(`^slot 1: ${name} is leased to hangs since .*: in use\n$`))
      assert.include(preview.stderr, "airflow-resource release 1 --yes")
      const asJson = JSON.parse((yield* run("release", "1", "--json")).stdout)
      assert.deepInclude(asJson, { slot: 1, deployment: name, ended: false, actions: [] })
      assert.deepInclude(asJson.holder, { kind: "lease", label: "hangs", pid: process.pid })
      assert.strictEqual((yield* inspect).slots[0]?.holder?.label, "hangs")

      const released = yield* run("release", "1", "--yes", "--json")
      assert.strictEqual(released.code, 0)
      const { actions, ended } = JSON.parse(released.stdout)
      assert.isTrue(ended)
      assert.deepStrictEqual(actions, [{ slot: 1, deployment: name, did: "hibernate", detail: "" }])
      assert.deepInclude(yield* Effect.flip(hangs.end), { _tag: "LeaseLost" })
      assert.deepInclude((yield* inspect).slots[0], { holder: null, power: "asleep" })

      const free = yield* run("release", "1", "--yes")
      assert.strictEqual(free.code, 1)
      assert.include(free.stderr, "Slot 1 is free")
      assert.strictEqual((yield* run("release", "1")).code, 1)
      const none = yield* run("release", "7", "--json")
      assert.strictEqual(none.code, 1)
      assert.deepInclude(errorOf(none.stdout), { tag: "SlotNotFound", retryable: false })
      assert.include(none.stderr, "It has: 1")
    }).pipe(Effect.provide(NodeContext.layer)), 600_000)

  it.scopedLive(
    "keeps the slot of an unfenced lease while its writes may arrive, and ends with 3",
    () =>
      Effect.gen(function*() {
        const { hold, run } = yield* world({ tokenRights: "operator" })
        const hangs = yield* hold("hangs")
        const name = yield* hangs.deploymentName
        const { code, stderr, stdout } = yield* run("release", "1", "--yes")
        assert.strictEqual(code, 3)
        assert.include(stderr, `still awake: ${name}`)
        assert.match(stdout, /was leased to hangs .*\nslot 1: requests of that process may arrive until [\d:]+ UTC/)
        assert.deepInclude(yield* Effect.flip(hangs.end), { _tag: "LeaseLost" })
      }).pipe(Effect.provide(NodeContext.layer)),
    600_000
  )
})

describe("airflow-resource reset", () => {
  it.scopedLive("empties a free deployment, and refuses any other", () =>
    Effect.gen(function*() {
      const { hold, inspect, run } = yield* world()
      const one = yield* hold("one")
      const name = yield* one.deploymentName

      const held = yield* run("reset", name, "--json")
      assert.strictEqual(held.code, 1)
      assert.deepInclude(errorOf(held.stdout), { tag: "DeploymentInUse", retryable: true })
      assert.include(held.stderr, "is held by the lease of one (in use)")
      yield* one.end

      const emptied = yield* run("reset", name)
      assert.deepInclude(emptied, { code: 0, stdout: `slot 1: ${name} is empty, and hibernates\n` })
      const [slot] = (yield* inspect).slots
      assert.deepInclude(slot, { holder: null, power: "asleep", quarantine: null })
      const byId = yield* run("reset", slot!.deploymentId!, "--json")
      assert.deepStrictEqual(JSON.parse(byId.stdout), { slot: 1, deployment: name, isAwake: false })

      const unknown = yield* run("reset", "no-such-deployment", "--json")
      assert.strictEqual(unknown.code, 1)
      assert.deepInclude(errorOf(unknown.stdout), { tag: "DeploymentNotFound", retryable: false })
      assert.include(unknown.stderr, `It has: ${name}`)
    }).pipe(Effect.provide(NodeContext.layer)), 600_000)
})

describe("airflow-resource warm", () => {
  it.scopedLive(
    "keeps deployments awake for other processes until a signal, and hibernates them then",
    () =>
      Effect.gen(function*() {
        const { begin, hold, inspect } = yield* world({}, 2)
        const areAwake = Effect.repeat(inspect, {
          until: ({ slots }) => slots.filter(({ holder, power }) => holder === null && power === "awake").length === 2,
          schedule: Schedule.spaced("50 millis")
        })
        const warm = yield* begin("warm", "2", "--json")
        const { deployments, until } = JSON.parse(yield* warm.prints("stdout", "until"))
        assert.lengthOf(new Set(deployments.map(({ name }: { readonly name: string }) => name)), 2)
        assert.hasAllKeys(deployments[0], ["name", "id", "baseUrl", "uiUrl"])
        assert.isAbove(Date.parse(until), Date.now() + 50 * 60_000)
        yield* areAwake
        const lease = yield* hold("uses it")
        yield* lease.deploymentName
        yield* lease.end
        yield* areAwake
        assert.lengthOf(deployments, 2)
        warm.child.kill("SIGTERM")
        assert.strictEqual((yield* warm.ended).code, 0)
        assert.isTrue((yield* inspect).slots.every(({ holder, power }) => holder === null && power === "asleep"))
        assert.deepStrictEqual((yield* inspect).runs, [])
      }).pipe(Effect.provide(NodeContext.layer)),
    600_000
  )

  it.scopedLive("ends by itself, and hibernates what it has woken if it is interrupted", () =>
    Effect.gen(function*() {
      const { begin, inspect, run } = yield* world()
      const brief = yield* run("warm", "1", "--for", "1s")
      assert.strictEqual(brief.code, 0)
      assert.match(brief.stdout, /^airflow-resource-\S+  http\S+\n\nIt stays awake for tests until .* UTC/)
      assert.strictEqual((yield* inspect).slots[0]?.power, "asleep")

      const interrupted = yield* begin("warm", "1")
      yield* interrupted.prints("stderr", "waking")
      interrupted.child.kill("SIGINT")
      assert.deepInclude(yield* interrupted.ended, { code: 130, stdout: "" })
      assert.deepInclude((yield* inspect).slots[0], { power: "asleep", holder: null })
    }).pipe(Effect.provide(NodeContext.layer)), 600_000)

  it.scopedLive("refuses more than the pool may have", () =>
    Effect.gen(function*() {
      const { run } = yield* world({}, 2)
      const many = yield* run("warm", "3")
      assert.deepInclude(many, { code: 2, stdout: "" })
      assert.include(many.stderr, "AIRFLOW_RESOURCE_MAX")
    }).pipe(Effect.provide(NodeContext.layer)), 600_000)
})

it.live.each([
  ["events --last=-1"],
  ["events --last few"],
  ["release"],
  ["release 0 --yes"],
  ["release one --yes"],
  ["release 1.5"],
  ["reset"],
  ["warm"],
  ["warm 0"],
  ["warm two"],
  ["warm 1.5"],
  ["warm 1 --for 8d"],
  ["warm 1 --for soon"]
])("airflow-resource %s is wrong usage", ([args]) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(parse(args!.split(" ")).command)
    assert.deepInclude(error, { _tag: "Exit", exitCode: 2 })
  }).pipe(Effect.provide(NodeContext.layer)))
