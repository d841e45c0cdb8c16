/** Ids, words and keys that are the same for the same seed and the same order of calls. */
import * as Utils from "effect/Utils"

export class Ids {
  private readonly random: Utils.PCGRandom
  private lastMicros = 0
  constructor(seed: number) {
    this.random = new Utils.PCGRandom(seed)
  }
  text(length: number, alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"): string {
    return Array.from({ length }, () => alphabet[this.random.integer(alphabet.length)]).join("")
  }
  /** 25 characters, like Astro's ids. */
  id(): string {
    return `c${this.text(24)}`
  }
  digits(length: number): string {
    return `1${this.text(length - 1, "0123456789")}`
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.random.integer(256))
  }
  word(): string {
    return words[this.random.integer(words.length)] ?? "quiet"
  }
  /** The time in microseconds, never the same twice: Airflow tells the runs of a DAG apart by it. */
  uniqueMicros(now: number): number {
    this.lastMicros = Math.max(this.lastMicros + 1, Math.floor(now * 1000))
    return this.lastMicros
  }
}

const words = [
  "boreal",
  "cosmic",
  "diameter",
  "galactic",
  "lunar",
  "orbital",
  "primitive",
  "solar",
  "stellar",
  "zodiacal"
]
