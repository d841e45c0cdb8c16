/**
 * The headers that say who asks, renewed where they expire.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Credentials } from "../Airflow.js"
import type { AirflowApiError } from "../AirflowError.js"

export interface Authorization {
  readonly headers: Readonly<Record<string, string>>
  /** What must not be shown. */
  readonly secrets: ReadonlyArray<string>
}

export interface Authorizer {
  readonly current: Effect.Effect<Authorization, AirflowApiError>
  /** Whether asking again with what `current` then gives may help. */
  readonly renew: (refused: Authorization) => Effect.Effect<boolean>
}

/** `grant` asks Airflow for a token; `None` where it gives none to anybody. */
export const make = (
  credentials: Credentials,
  grant: (
    username: string,
    password: Redacted.Redacted
  ) => Effect.Effect<Option.Option<Redacted.Redacted>, AirflowApiError>
): Authorizer => {
  switch (credentials._tag) {
    case "Bearer":
      return fixed(bearer(credentials.token))
    case "Basic":
      return fixed(basic(credentials.username, credentials.password))
    case "Custom":
      return {
        current: Effect.map(credentials.headers, (headers) => {
          const values = Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)] as const)
          return { headers: Object.fromEntries(values), secrets: values.map(([, value]) => value) }
        }),
        renew: () => Effect.succeed(false)
      }
    case "Password":
      return granted(
        Effect.map(
          grant(credentials.username, credentials.password),
          Option.match({
            onNone: () => ({ ...basic(credentials.username, credentials.password), expiresAt: Infinity }),
            onSome: (token) => ({ ...bearer(token), expiresAt: expiryOf(Redacted.value(token)) })
          })
        )
      )
  }
}

// internal

const fixed = (authorization: Authorization): Authorizer => ({
  current: Effect.succeed(authorization),
  renew: () => Effect.succeed(false)
})

const bearer = (token: Redacted.Redacted): Authorization => ({
  headers: { authorization: `Bearer ${Redacted.value(token)}` },
  secrets: [Redacted.value(token)]
})

const basic = (username: string, password: Redacted.Redacted): Authorization => {
  const encoded = Encoding.encodeBase64(`${username}:${Redacted.value(password)}`)
  return { headers: { authorization: `Basic ${encoded}` }, secrets: [Redacted.value(password), encoded] }
}

interface Granted extends Authorization {
  readonly expiresAt: number
}

/** So long before its end a token is not used any more. */
const margin = 5 * 60_000

const granted = (ask: Effect.Effect<Granted, AirflowApiError>): Authorizer => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let known: Granted | undefined
  return {
    current: turn.withPermits(1)(Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (known !== undefined && now < known.expiresAt - margin) return known
      known = yield* ask
      return known
    })),
    // a server that was restarted knows none of its tokens, and one that was upgraded gives some where there were none
    renew: (refused) =>
      Effect.sync(() => {
        if (known === refused) known = undefined
        return true
      })
  }
}

const Claims = Schema.parseJson(Schema.Struct({ exp: Schema.Number }))

/** A token that does not say when it ends is used until it is refused. */
const expiryOf = (token: string): number =>
  Encoding.decodeBase64UrlString(token.split(".")[1] ?? "").pipe(
    Either.flatMap(Schema.decodeEither(Claims)),
    Either.match({ onLeft: () => Infinity, onRight: ({ exp }) => exp * 1000 })
  )
