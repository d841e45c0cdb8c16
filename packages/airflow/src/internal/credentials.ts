/**
 * The headers that authenticate requests, renewed before they expire.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
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
  /** Texts that must not appear in errors. */
  readonly secrets: ReadonlyArray<string>
}

export interface Authorizer {
  readonly current: Effect.Effect<Authorization, AirflowApiError>
  /** Called when the server rejects an authorization. Returns whether a retry with the new `current` may succeed. */
  readonly renew: (rejected: Authorization) => Effect.Effect<boolean>
}

/** `login` exchanges username and password for a token. It returns `None` if Airflow issues no tokens. */
export const make = (
  credentials: Credentials,
  login: (
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
      return expiring(
        Effect.map(
          login(credentials.username, credentials.password),
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

interface ExpiringAuthorization extends Authorization {
  readonly expiresAt: number
}

/** How long before its expiry a token is replaced. */
const renewalMargin = Duration.toMillis("5 minutes")

const expiring = (login: Effect.Effect<ExpiringAuthorization, AirflowApiError>): Authorizer => {
  // concurrent requests share one login
  const semaphore = Effect.unsafeMakeSemaphore(1)
  let cached: ExpiringAuthorization | undefined
  return {
    current: semaphore.withPermits(1)(Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (cached !== undefined && now < cached.expiresAt - renewalMargin) return cached
      cached = yield* login
      return cached
    })),
    // a restarted server may reject the tokens it issued before, and an upgraded one may issue tokens for the first
    // time
    renew: (rejected) =>
      Effect.sync(() => {
        if (cached === rejected) cached = undefined
        return true
      })
  }
}

const Claims = Schema.parseJson(Schema.Struct({ exp: Schema.Number }))

/** In milliseconds. A token without an expiry is used until the server rejects it. */
const expiryOf = (token: string): number =>
  Encoding.decodeBase64UrlString(token.split(".")[1] ?? "").pipe(
    Either.flatMap(Schema.decodeEither(Claims)),
    Either.match({ onLeft: () => Infinity, onRight: ({ exp }) => exp * 1000 })
  )
