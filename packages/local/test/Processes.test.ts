import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import * as Processes from "../src/internal/Processes.js"

/** A Node process in a session of its own, which the scope ends. */
const launch = (script: string) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, ["-e", script], { detached: true, stdio: "ignore" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

const idOf = (child: ChildProcess) =>
  Effect.map(Processes.startedAt(child.pid ?? 0), (startedAt) => ({
    pid: child.pid ?? assert.fail("it did not start"),
    startedAt: startedAt ?? assert.fail("it has ended")
  }))

const until = <A>(self: Effect.Effect<A>, isReached: (value: A) => boolean) =>
  self.pipe(
    Effect.filterOrDieMessage(isReached, "not reached"),
    Effect.sandbox,
    Effect.retry(Schedule.upTo(Schedule.spaced("20 millis"), "1 minute"))
  )

const stay = "setInterval(() => {}, 1000)"
const waitFor = (script: string) =>
  `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(script)}], { stdio: "ignore" }); ${stay}`

describe("Processes", () => {
  it.scopedLive("finds all members of a session", () =>
    Effect.gen(function*() {
      const leader = yield* Effect.flatMap(launch(waitFor(stay)), idOf)
      const other = yield* Effect.flatMap(launch(stay), idOf)
      const members = yield* until(Processes.sessionMembers([leader]), (found) => found.length === 2)
      const child = members.find(({ pid }) => pid !== leader.pid) ?? assert.fail("the child is missing")
      assert.strictEqual(child.parent, leader.pid)
      assert.include(child.title, stay)
      assert.notInclude(members.map(({ pid }) => pid), other.pid)
      // the session goes on without its leader
      yield* Processes.kill(leader, "SIGKILL")
      yield* until(Processes.isSame(leader), (isRunning) => !isRunning)
      assert.deepStrictEqual((yield* Processes.sessionMembers([leader])).map(({ pid }) => pid), [child.pid])
      yield* Processes.kill(child, "SIGKILL")
      yield* until(Processes.sessionMembers([leader]), (found) => found.length === 0)
    }))

  it.scopedLive("signals no other process that has the same pid", () =>
    Effect.gen(function*() {
      const child = yield* launch(stay)
      const id = yield* idOf(child)
      const earlier = { ...id, startedAt: "before" }
      assert.isFalse(yield* Processes.isSame(earlier))
      assert.deepStrictEqual(yield* Processes.sessionMembers([earlier]), [])
      yield* Processes.kill(earlier, "SIGKILL")
      yield* Processes.kill(id, "SIGTERM")
      yield* until(Effect.sync(() => child.signalCode), (signal) => signal !== null)
      assert.strictEqual(child.signalCode, "SIGTERM")
      assert.isFalse(yield* Processes.isSame(id))
    }))

  it("reads a stat file whose name looks like one", () => {
    const rest = Array.from({ length: 30 }, (_, index) => index).join(" ")
    const facts = { pid: 5, parent: 2, group: 3, session: 4, startedAt: "15" }
    assert.deepStrictEqual(Processes.parseStat(5, `5 (a) Z 9 (b)) S 2 3 4 ${rest}\n`), facts)
    assert.isUndefined(Processes.parseStat(5, `5 (a) Z 2 3 4 ${rest}\n`))
  })

  it("reads a line of ps", () => {
    const line = "  501   1   501 Ss   Sun Nov 29 19:54:29 2026     python -m  airflow"
    assert.deepStrictEqual(Processes.parsePs(line), {
      pid: 501,
      parent: 1,
      group: 501,
      session: 0,
      startedAt: "Sun Nov 29 19:54:29 2026",
      title: "python -m  airflow"
    })
    assert.isUndefined(Processes.parsePs(line.replace("Ss", "Z+")))
    assert.isUndefined(Processes.parsePs(""))
  })

  it("takes the group and the descendants of a leader for its session where sessions are unknown", () => {
    const process = (pid: number, parent: number, group: number) => ({ pid, parent, group, session: 0, startedAt: "1" })
    const all = [
      process(1, 0, 1),
      process(2, 1, 2),
      process(3, 1, 2),
      process(4, 3, 4),
      process(5, 2, 5),
      process(6, 5, 6)
    ]
    const pids = Processes.membersOf(all, [{ pid: 2, startedAt: "1" }]).map(({ pid }) => pid)
    assert.deepStrictEqual(pids, [2, 3, 5, 6])
  })
})
