/**
 * Waiting until a server is ready: it is healthy, accepts its users, and has parsed all DAG files.
 */
import { Effect, Schedule } from "effect"
import { admin, type Major } from "./majors.js"

/** Returns the administrator's `authorization` header. Fails with what is still missing after 3 minutes. */
export const awaitReady = (major: Major, url: string, dagFiles: ReadonlyArray<string>) =>
  Effect.tryPromise({
    try: async (signal) => {
      const authorization = await major.login(url, admin, signal)
      const get = async <A>(route: string) => {
        const response = await fetch(`${url}${route}`, { headers: { authorization }, signal })
        if (!response.ok) throw new Error(`GET ${route}: ${response.status}`)
        return await response.json() as A
      }
      const expectEntries = async (route: string, expected: number) => {
        const { total_entries: actual } = await get<{ readonly total_entries: number }>(route)
        if (actual !== expected) throw new Error(`${route} has ${actual} entries, not ${expected}`)
      }
      const health = await get<Record<string, { readonly status: string | null }>>(major.health)
      const unhealthy = major.components.filter((component) => health[component]?.status !== "healthy")
      if (unhealthy.length > 0) throw new Error(`not healthy: ${unhealthy.join(", ")}`)
      const broken = dagFiles.filter((name) => name.startsWith("broken"))
      await expectEntries(`${major.api}/dags`, dagFiles.length - broken.length)
      await expectEntries(`${major.api}/importErrors`, broken.length)
      await major.createViewer(url, authorization, signal)
      return authorization
    },
    catch: String
  }).pipe(
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => "no response within 10 s" }),
    Effect.retry(Schedule.upTo(Schedule.spaced("500 millis"), "3 minutes"))
  )
