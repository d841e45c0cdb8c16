/**
 * What Astro does now and then, though it is not down: every one of them is off unless it is asked for, and as deterministic as
 * the rest, for it follows from the time and from what was asked before. Trouble with single requests is `Faults`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * Durations are in real time, before the emulator's speed is applied.
 *
 * @since 0.1.0
 * @category models
 */
export interface Quirks {
  /**
   * What a read says of a deployment's `status` and `scalingStatus` is this old. Everything else in it is up to date, its
   * override too: right after a hibernation or a wake both may say `HEALTHY`.
   */
  readonly statusLag?: Duration.DurationInput
  /** A creation and a wake end in `UNHEALTHY` for this long, and in `UNKNOWN` for as long again, before `HEALTHY`. */
  readonly blips?: Duration.DurationInput
  /**
   * For this long after its deletion, reads show a deployment as it was, and its name is not free. It is gone for all else: its
   * Airflow and its tokens at once, and whatever would change it, a second deletion too, is answered 404.
   */
  readonly slowDelete?: Duration.DurationInput
  /**
   * After this many reads of a deployment its URLs have the other host, `127.0.0.1` or `localhost`. With `localhost` those that have
   * no scheme on Astro have none here.
   */
  readonly hostFlips?: number
  /** The URLs of a deployment are empty while it is `CREATING`. */
  readonly lateUrls?: boolean
  readonly rateLimits?: RateLimits
  /** To hibernate what is hibernating is refused (400) rather than repeated. */
  readonly refusesToHibernateAgain?: boolean
}

/**
 * A bucket for each token and method holds what is allowed in a second, and is filled again at that rate. What is refused was not
 * carried out.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimits {
  /** By default Astro's: 10 `POST`, 25 `GET` and 5 `DELETE`; times the emulator's speed. */
  readonly perSecond?: Partial<Record<Method, number>>
  /** Astro's own words, by default; the same with a `Retry-After` of whole seconds; or a gateway's page in their place. */
  readonly answer?: "json" | "retryAfter" | "gateway"
}

/**
 * @since 0.1.0
 * @category models
 */
export type Method = "GET" | "POST" | "DELETE"

/**
 * {@link Quirks} in milliseconds and requests per second, speed applied. Zero is off.
 *
 * @since 0.1.0
 * @category models
 */
export interface Resolved {
  readonly statusLag: number
  readonly blip: number
  readonly slowDelete: number
  readonly hostFlips: number
  readonly lateUrls: boolean
  readonly refusesToHibernateAgain: boolean
  readonly rateLimits: Required<RateLimits> & { readonly perSecond: Record<Method, number> } | null
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (quirks: Quirks, speed: number): Resolved => {
  const scaled = (input: Duration.DurationInput | undefined) => Duration.toMillis(input ?? 0) / speed
  const { perSecond, answer = "json" } = quirks.rateLimits ?? {}
  const rates = { GET: 25, POST: 10, DELETE: 5, ...perSecond }
  return {
    statusLag: scaled(quirks.statusLag),
    blip: scaled(quirks.blips),
    slowDelete: scaled(quirks.slowDelete),
    hostFlips: quirks.hostFlips ?? 0,
    lateUrls: quirks.lateUrls ?? false,
    refusesToHibernateAgain: quirks.refusesToHibernateAgain ?? false,
    rateLimits: quirks.rateLimits === undefined ? null : {
      answer,
      perSecond: { GET: rates.GET * speed, POST: rates.POST * speed, DELETE: rates.DELETE * speed }
    }
  }
}
