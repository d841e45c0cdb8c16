// @ts-check
// Plain JavaScript, because it also has to run from the source tree, and Node 20 cannot start a thread from a
// TypeScript file.
import { statSync } from "node:fs"
import { uptime } from "node:os"
import { performance } from "node:perf_hooks"
import process from "node:process"
import { clearTimeout, setTimeout } from "node:timers"
import { pathToFileURL } from "node:url"
import { parentPort, workerData } from "node:worker_threads"

/** @type {import("./HeartbeatThread.js").Start} */
const { beat, bootId, driver, file, hasUptime, watched } = workerData

/** @type {{ default: typeof import("better-sqlite3") }} */
const { default: Database } = await import(pathToFileURL(driver).href)
const db = new Database(file, { fileMustExist: true, timeout: 100 })
// a beat need not survive a power failure: its holder does not either
db.pragma("synchronous = NORMAL")
const statement = db.prepare(beat)

/** @type {Map<number, { deadline: number, timer: NodeJS.Timeout | undefined, failure: string | undefined }>} */
const kept = new Map()

/** @param {import("./HeartbeatThread.js").Command} command */
const onCommand = (command) => {
  if (command.command === "keep") {
    kept.set(command.lease.id, {
      deadline: performance.now() + command.lease.ttl,
      timer: undefined,
      failure: undefined
    })
    keep(command.lease)
  } else if (command.command === "drop") {
    clearTimeout(kept.get(command.id)?.timer)
    kept.delete(command.id)
  } else {
    db.close()
    process.exit()
  }
}

/** Beats for a lease, and schedules its next beat. @param {import("./HeartbeatThread.js").Lease} lease */
const keep = (lease) => {
  const state = kept.get(lease.id)
  if (state === undefined) return
  const sentAt = performance.now()
  const result = sentAt < state.deadline ? send(lease) : "silent"
  if (result === "held") {
    state.deadline = sentAt + lease.ttl
    state.failure = undefined
  }
  if (typeof result === "object") state.failure = result.failure
  if (result === "silent" || result === "replaced") {
    kept.delete(lease.id)
    /** @type {import("./HeartbeatThread.js").Report} */
    const report = { id: lease.id, loss: result, failure: state.failure }
    parentPort?.postMessage(report)
    return
  }
  // a ledger that cannot be used does not end the lease before its deadline: retry soon
  const pause = result === "held" ? lease.ttl / 4 : Math.min(lease.ttl / 16, state.deadline - performance.now())
  state.timer = setTimeout(keep, pause, lease)
}

/**
 * @param {import("./HeartbeatThread.js").Lease} lease
 * @returns {"held" | "silent" | "replaced" | { failure: string }}
 */
const send = ({ epoch, pool, slot, ttl }) => {
  try {
    const rows = statement.all(ttl, hasUptime ? uptime() * 1000 : null, bootId, Date.now(), pool, slot, epoch)
    if (watched.some(([path, identity]) => identify(path) !== identity)) return "replaced"
    return rows.length === 1 ? "held" : "silent"
  } catch (error) {
    return { failure: error instanceof Database.SqliteError ? `${error.code} ${error.message}` : String(error) }
  }
}

/** `files.ts` has the same function. @param {string} path */
const identify = (path) => {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat && `${stat.dev}:${stat.ino}`
}

parentPort?.on("message", onCommand)
