/** Time that `vi.useFakeTimers()` does not replace: by the functions that there were when vitest loaded this. */
import * as Duration from "effect/Duration"

// oxlint-disable-next-line no-restricted-properties, no-restricted-globals
const { clearTimeout, Date, setTimeout } = globalThis

/** The longest time of a timer, in milliseconds. */
export const longest = 2 ** 31 - 1

/** Calls `f` later, unless it is stopped before. */
export const after = (duration: Duration.DurationInput, f: () => void): { readonly stop: () => void } => {
  const timer = setTimeout(f, Math.min(Duration.toMillis(duration), longest))
  return { stop: () => clearTimeout(timer) }
}

/** Milliseconds since 1970. */
export const now = (): number => Date.now()
