import { SlotFree, SlotNotFound } from "@airflow-resource/core/AdministrationError"
import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import type { Holder } from "@airflow-resource/core/Slot"
import type * as Upkeep from "@airflow-resource/core/Upkeep"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { oneLine } from "../text.js"
import * as Failure from "./failure.js"
import { output, say } from "./output.js"
import { sharedPool } from "./pool.js"
import * as Tidied from "./tidied.js"
import * as Usage from "./usage.js"

export const release: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("release"))
    .summary("end the hold of a slot, whatever holds it")
    .description(
      "Ends the hold of a slot, such as the lease of a process that hangs, and tidies the slot up. The process loses its " +
        "lease: its token is revoked, and its test fails."
    )
    .argument(
      "<slot>",
      "the slot's number, as `airflow-resource status` shows it",
      Usage.number((slot) => Number.isInteger(slot) && slot > 0, "the number of a slot, such as 1")
    )
    .option("-y, --yes", "end it; without this, the command only says what it would end, and exits with 2")
    .addHelpText(
      "after",
      Usage.footer({
        examples: ["airflow-resource release 2", "airflow-resource release 2 --yes"],
        exitCodes: {
          2: "wrong usage, or --yes is missing",
          3: "the hold was ended, but its deployment is still awake"
        }
      })
    )
    .action((slot: number, { yes = false, ...format }: Usage.Format & { readonly yes?: boolean }) =>
      run(yes ? end(slot, Usage.isJson(format)) : preview(slot, Usage.isJson(format)), { Unfinished: 3 })
    )

// internal

interface Ended {
  readonly slot: number
  readonly deployment: string | null
  readonly holder: Described
  readonly ended: boolean
  readonly actions: ReadonlyArray<Upkeep.Action>
  readonly busyUntil: string | null
}

type Described = Pick<Holder, "kind" | "label" | "activity" | "fenced"> & {
  readonly since: string
  readonly pid: number
  readonly host: string
}

const preview = (slot: number, asJson: boolean) =>
  Effect.gen(function*() {
    yield* output(asJson, Effect.provide(look(slot), yield* sharedPool), render)
    yield* say(`Nothing was changed. To end it: airflow-resource release ${slot} --yes`)
    return yield* new Failure.Exit({ exitCode: 2 })
  })

const look = (number: number) =>
  Effect.gen(function*() {
    const { slots } = yield* (yield* DeploymentPool).inspect
    const slot = slots.find((slot) => slot.number === number)
    if (slot === undefined) return yield* new SlotNotFound({ slot: number, slots: slots.map((slot) => slot.number) })
    if (slot.holder === null) return yield* new SlotFree({ slot: number })
    const nothing = { ended: false, actions: [], busyUntil: null }
    return { slot: number, deployment: slot.name, holder: describe(slot.holder), ...nothing }
  })

const end = (slot: number, asJson: boolean) =>
  Effect.gen(function*() {
    const { actions, busyUntil, deployment } = yield* output(
      asJson,
      Effect.gen(function*() {
        const layer = yield* sharedPool
        yield* say(`ending the hold of slot ${slot} …`)
        const released = yield* Effect.provide(Effect.flatMap(DeploymentPool, ({ release }) => release(slot)), layer)
        const { busyUntil, holder } = released
        return {
          ...released,
          holder: describe(holder),
          ended: true,
          busyUntil: busyUntil === null ? null : time(busyUntil)
        }
      }),
      render
    )
    const isLeft = busyUntil !== null || actions.some(({ did }) => did === "left alone")
    if (deployment !== null && isLeft) {
      return yield* new Tidied.Unfinished({ held: [], awake: [deployment], tokens: [] })
    }
  })

const time = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))

const describe = ({ activity, fenced, kind, label, owner, since }: Holder): Described => ({
  kind,
  label: oneLine(label),
  activity: oneLine(activity),
  since: time(since),
  fenced,
  pid: owner.pid,
  host: owner.host
})

const render = ({ actions, busyUntil, deployment, ended, holder, slot }: Ended): string => {
  const { activity, host, kind, label, pid, since } = holder
  return [
    `slot ${slot}: ${deployment ?? "no deployment"} ${ended ? "was" : "is"} ${
      kind === "lease" ? "leased to" : "held by"
    } ${label} since ${since.slice(0, 19).replace("T", " ")} UTC (process ${pid} on ${host}): ${activity}`,
    ...actions.map(Tidied.describe),
    ...(busyUntil === null
      ? []
      : [
        `slot ${slot}: requests of that process may arrive until ${
          busyUntil.slice(11, 19)
        } UTC; the slot is kept until then`
      ])
  ].join("\n")
}
