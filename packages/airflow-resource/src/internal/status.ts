/** The pool as its ledger records it: as JSON, and as text. */
import { describeSpec } from "@airflow-resource/core/Deployment"
import type { PoolSnapshot } from "@airflow-resource/core/DeploymentPool"
import * as Host from "@airflow-resource/core/Host"
import * as PoolPolicy from "@airflow-resource/core/PoolPolicy"
import * as DateTime from "effect/DateTime"
import { ago, oneLine, table } from "./text.js"

export type Status = ReturnType<typeof of>

export const of = (
  { now, rules, ...ledger }: PoolSnapshot,
  host: Host.Host,
  cache: string,
  reaper: { readonly isOn: boolean; readonly log: string }
) => {
  const time = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))
  const future = (millis: number | null) => millis !== null && millis > now ? time(millis) : null
  const { slots, tickets, upkeep: { holder: upkeep } } = ledger
  const appliedRules = { ...rules, isGone: host.isGone, machine: Host.machineOf(host.owner) }
  return {
    cache,
    pool: rules.poolId,
    max: rules.max,
    at: time(now),
    upkeep: upkeep !== null && upkeep.deadline > now && !host.isGone(upkeep.owner)
      ? { pid: upkeep.owner.pid, host: upkeep.owner.host }
      : null,
    reaper,
    slots: [...slots].sort((a, b) => a.number - b.number).map((slot) => ({
      slot: slot.number,
      deployment: slot.name,
      deploymentId: slot.deploymentId,
      spec: slot.spec,
      power: slot.power,
      clean: slot.holder === null && slot.clean,
      adopted: slot.adopted !== null,
      tokensMayExist: slot.holder === null && slot.tokens.mayExist,
      uses: slot.uses,
      filledAt: slot.filledAt === null ? null : time(slot.filledAt),
      busyUntil: future(slot.busyUntil),
      quarantine: slot.quarantine === null ? null : {
        reason: oneLine(slot.quarantine.reason),
        failures: slot.quarantine.failures,
        until: future(slot.quarantine.until)
      },
      holder: slot.holder === null ? null : {
        kind: slot.holder.kind,
        label: oneLine(slot.holder.label),
        activity: oneLine(slot.holder.activity),
        since: time(slot.holder.since),
        fenced: slot.holder.fenced,
        pid: slot.holder.owner.pid,
        host: slot.holder.owner.host,
        isAlive: PoolPolicy.holds(slot, slot.epoch, now) && !host.isGone(slot.holder.owner)
      }
    })),
    queue: tickets.filter(({ state }) => state === "waiting").sort((a, b) => a.seq - b.seq).map((ticket, index) => {
      // what a step would return now; nothing is written
      const step = PoolPolicy.step(ledger, appliedRules, now, ticket.key).value
      return {
        place: index + 1,
        label: oneLine(ticket.label),
        needs: ticket.needs,
        since: time(ticket.enqueuedAt),
        pid: ticket.owner.pid,
        host: ticket.owner.host,
        reason: step._tag === "Waiting" ? oneLine(step.reason) : "next to be granted"
      }
    })
  }
}

export const render = (status: Status): string => {
  const since = (time: string) =>
    ago(DateTime.toEpochMillis(DateTime.unsafeMake(status.at)) - DateTime.toEpochMillis(DateTime.unsafeMake(time)))
  const remedy = status.upkeep === null
    ? "run `airflow-resource reap`"
    : `process ${status.upkeep.pid} will clean it up`
  const clock = (time: string) => `${time.slice(11, 19)} UTC`
  const stateOf = (
    { adopted, busyUntil, clean, deployment, holder, power, quarantine, tokensMayExist }: Status["slots"][number]
  ) =>
    [
      holder === null
        ? power === "awake" && clean ? "free, clean" : "free"
        : `${holder.kind === "lease" ? "leased to" : "held by"} ${holder.label} for ${
          since(holder.since)
        } (process ${holder.pid} on ${holder.host}): ${holder.activity}`,
      ...(holder?.isAlive === false ? [`OVERDUE, OR ITS PROCESS HAS ENDED: ${remedy}`] : []),
      ...(holder?.fenced === false ? ["UNFENCED"] : []),
      ...(quarantine === null ? [] : [
        `${
          quarantine.until === null ? "failed" : `quarantine until ${clock(quarantine.until)}, failed`
        } ${quarantine.failures}×: ${quarantine.reason}`
      ]),
      ...(busyUntil === null ? [] : [`may still be changing until ${clock(busyUntil)}`]),
      ...(tokensMayExist ? [`A TOKEN OF AN ENDED LEASE MAY STILL BE VALID: ${remedy}`] : []),
      ...(adopted ? ["adopted"] : []),
      ...(deployment === null ? ["empty"] : [])
    ].join("; ")
  return [
    `cache   ${status.cache}`,
    `pool    ${status.pool}, ${
      status.slots.filter(({ deployment }) => deployment !== null).length
    } of at most ${status.max} deployments`,
    `upkeep  ${
      status.upkeep === null ? "not active" : `active (process ${status.upkeep.pid} on ${status.upkeep.host})`
    }`,
    `reaper  ${
      status.reaper.isOn
        ? `on, its log is ${status.reaper.log}`
        : "off (AIRFLOW_RESOURCE_REAPER): what a killed process leaves awake stays awake until the next lease or reap"
    }`,
    ...(status.slots.length === 0 ? [] : [
      "",
      table([
        ["slot", "deployment", "spec", "power", "state"],
        ...status.slots.map((slot) => [
          String(slot.slot),
          slot.deployment ?? "-",
          slot.spec === null ? "-" : describeSpec(slot.spec),
          slot.power,
          stateOf(slot)
        ])
      ])
    ]),
    ...(status.queue.length === 0 ? [] : [
      "",
      table([
        ["place", "test", "waiting", "reason"],
        ...status.queue.map(({ host, label, pid, place, reason, since: enqueuedAt }) => [
          String(place),
          `${label} (process ${pid} on ${host})`,
          since(enqueuedAt),
          reason
        ])
      ])
    ])
  ].join("\n")
}
