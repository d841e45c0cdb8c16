/**
 * What a reaper is started with. It gets it through a pipe: the credentials in it must be neither on disk nor among the arguments of a
 * process.
 */
import type { PoolOptions } from "@airflow-resource/core/DeploymentPool"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Settings from "../../Settings.js"

export interface Message {
  readonly settings: Pick<Settings.Settings, "provider" | "cache" | "pool">
  readonly options: Partial<Omit<PoolOptions, "startReaper">>
}

/** As JSON, with the secrets in it. */
export const encode = (message: Message): string => JSON.stringify(toJson(message))

export const decode = (text: string): Message => fromJson(JSON.parse(text)) as Message

// internal

/** Settings are plain data, except for these types of Effect. */
const toJson = (value: unknown): unknown => {
  if (Redacted.isRedacted(value)) return { $redacted: toJson(Redacted.value(value)) }
  if (Option.isOption(value)) return { $option: Option.toArray(Option.map(value, toJson)) }
  if (Duration.isDuration(value)) return { $millis: String(Duration.toMillis(value)) }
  if (typeof value === "bigint") return { $bigint: String(value) }
  if (value === Infinity) return { $infinity: true }
  if (Array.isArray(value)) return value.map(toJson)
  return isRecord(value) ? mapValues(value, toJson) : value
}

const fromJson = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(fromJson)
  if (!isRecord(value)) return value
  if ("$redacted" in value) return Redacted.make(fromJson(value["$redacted"]))
  if (Array.isArray(value["$option"])) return Option.map(Option.fromIterable(value["$option"]), fromJson)
  if ("$bigint" in value) return BigInt(String(value["$bigint"]))
  if ("$infinity" in value) return Infinity
  if ("$millis" in value) return Duration.millis(Number(value["$millis"]))
  return mapValues(value, fromJson)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

const mapValues = (record: Readonly<Record<string, unknown>>, f: (value: unknown) => unknown) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]))
