/** The id of a pool. */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import type { Account } from "../../DeploymentProvider.js"

/** Derived and not random, so that another machine, or a new ledger, gets the same id for the same pool. */
export const of = ({ host, organizationId, workspaceId }: Account, prefix: string): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() =>
      crypto.subtle.digest("SHA-256", new TextEncoder().encode([host, organizationId, workspaceId, prefix].join("\n")))
    ),
    (digest) => Encoding.encodeHex(new Uint8Array(digest)).slice(0, 12)
  )
