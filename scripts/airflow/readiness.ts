/** Waiting until a server has what the suites need: every DAG file is parsed, and the second user exists. */
import { Effect, Schedule } from "effect"
import type { User } from "../../packages/local/src/internal/recipe.js"
import type { Running } from "../../packages/local/src/internal/supervisor/Parts.js"

/** Fails with what is still missing after 3 minutes. */
export const awaitDags = (
  { authorization, recipe: { api, major }, url }: Running,
  viewer: User,
  dagFiles: ReadonlyArray<string>
) =>
  Effect.tryPromise({
    try: async (signal) => {
      const expectEntries = async (route: string, expected: number) => {
        const response = await fetch(`${url}${route}`, { headers: { authorization }, signal })
        if (!response.ok) throw new Error(`GET ${route}: ${response.status}`)
        const { total_entries: actual } = (await response.json()) as { readonly total_entries: number }
        if (actual !== expected) throw new Error(`${route} has ${actual} entries, not ${expected}`)
      }
      const broken = dagFiles.filter((name) => name.startsWith("broken"))
      await expectEntries(`${api}/dags`, dagFiles.length - broken.length)
      await expectEntries(`${api}/importErrors`, broken.length)
      if (major === 2) await createUser(`${url}${api}/users`, authorization, viewer, signal)
    },
    catch: String
  }).pipe(
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => "no response within 10 s" }),
    Effect.retry(Schedule.upTo(Schedule.spaced("500 millis"), "3 minutes"))
  )

const createUser = async (
  users: string,
  authorization: string,
  { password, role, username }: User,
  signal: AbortSignal
) => {
  const response = await fetch(users, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({
      username,
      password,
      first_name: "V",
      last_name: "V",
      email: `${username}@example.org`,
      roles: [{ name: role }]
    }),
    signal
  })
  if (!response.ok && response.status !== 409) throw new Error(`POST /users: ${response.status}`)
}
