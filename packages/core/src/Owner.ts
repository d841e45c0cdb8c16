/**
 * Which process this is: enough to tell it from every other one of its host, past ones included.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as os from "node:os"
import * as process from "node:process"
import type { Owner } from "./Slot.js"

/**
 * Reads boot id and start time from `/proc` where there is one; elsewhere they are empty, and only the deadline tells that
 * this process is gone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const current: Effect.Effect<Owner, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const read = (path: string) => Effect.orElseSucceed(fs.readFileString(path), () => "")
  const bootId = yield* read("/proc/sys/kernel/random/boot_id")
  const stat = yield* read("/proc/self/stat")
  return {
    host: os.hostname(),
    bootId: bootId.trim(),
    pid: process.pid,
    // the name in parentheses may contain anything; field 22 of the line is the 20th after it
    startedAt: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""
  }
})
