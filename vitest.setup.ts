import { addEqualityTesters } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"
import { afterEach } from "vitest"

addEqualityTesters()

// vitest fails a run whose worker does not read its messages for a minute, as during many tests that never wait
afterEach(() => setImmediate())
