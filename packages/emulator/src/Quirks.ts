/**
 * Quirks: what Astro does occasionally although it is up. Each is off unless it is turned on. Quirks are as
 * deterministic as the rest of the emulator: they follow from the time and from earlier requests. For failures of
 * single requests see `Faults`.
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
   * Reads return a deployment's `status` and `scalingStatus` as they were this long ago. All other fields are current,
   * the hibernation override included: right after a hibernation or a wake, a read may still return `HEALTHY`.
   */
  readonly statusLag?: Duration.DurationInput
  /**
   * A deployment that was created or woken is `UNHEALTHY` for this long, then `UNKNOWN` for as long again, before it is
   * `HEALTHY`.
   */
  readonly blips?: Duration.DurationInput
  /**
   * For this long, reads still return a deleted deployment, and its name stays taken. Everything else treats it as
   * deleted: its Airflow and its tokens are gone at once, and every change to it, a second deletion included, gets 404.
   */
  readonly slowDelete?: Duration.DurationInput
  /**
   * Every so many reads of a deployment, the host in its URLs changes between `127.0.0.1` and `localhost`. With
   * `localhost`, the URLs that have no scheme on Astro have none here.
   */
  readonly hostFlips?: number
  /** The URLs of a deployment are empty while it is `CREATING`. */
  readonly lateUrls?: boolean
  readonly rateLimits?: RateLimits
  /** A request to hibernate a hibernating deployment is refused with 400; otherwise it is accepted. */
  readonly refusesToHibernateAgain?: boolean
}

/**
 * Each token has one bucket per method. It holds the requests of one second and refills at that rate. A refused request
 * is not carried out.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateLimits {
  /** Multiplied by the emulator's speed. Astro's limits by default: 10 `POST`, 25 `GET` and 5 `DELETE`. */
  readonly perSecond?: Partial<Record<Method, number>>
  /**
   * `json`, the default, is Astro's own error; `retryAfter` is the same with a `Retry-After` header in whole seconds;
   * `gateway` is a gateway's HTML page.
   */
  readonly response?: "json" | "retryAfter" | "gateway"
}

/**
 * The methods that rate limits apply to.
 *
 * @since 0.1.0
 * @category models
 */
export type Method = "GET" | "POST" | "DELETE"

/**
 * {@link Quirks} in milliseconds and requests per second, with the speed applied. Zero means off.
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
 * Applies the defaults and the emulator's speed.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (quirks: Quirks, speed: number): Resolved => {
  const scaled = (input: Duration.DurationInput | undefined) => Duration.toMillis(input ?? 0) / speed
  const { perSecond, response = "json" } = quirks.rateLimits ?? {}
  const rates = { GET: 25, POST: 10, DELETE: 5, ...perSecond }
  return {
    statusLag: scaled(quirks.statusLag),
    blip: scaled(quirks.blips),
    slowDelete: scaled(quirks.slowDelete),
    hostFlips: quirks.hostFlips ?? 0,
    lateUrls: quirks.lateUrls ?? false,
    refusesToHibernateAgain: quirks.refusesToHibernateAgain ?? false,
    rateLimits: quirks.rateLimits === undefined ? null : {
      response,
      perSecond: { GET: rates.GET * speed, POST: rates.POST * speed, DELETE: rates.DELETE * speed }
    }
  }
}
