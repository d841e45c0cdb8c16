import { DeploymentPool } from "@airflow-resource/core/DeploymentPool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import process from "node:process"
import * as AirflowResources from "../../AirflowResources.js"
import * as Report from "../../Report.js"
import type * as Settings from "../../Settings.js"
import { output, say } from "./output.js"
import { sharedSettings } from "./pool.js"
import * as Usage from "./usage.js"

/** The page could not be written. */
export class PageNotWritten extends Schema.TaggedError<PageNotWritten>("airflow-resource/PageNotWritten")(
  "PageNotWritten",
  { file: Schema.String, detail: Schema.String }
) {
  override get message(): string {
    return `${this.file} could not be written: ${this.detail}. Choose another path with --html.`
  }
}

interface Options extends Usage.Format {
  readonly html?: string
}

export const report: Usage.Subcommand = (parent, run) =>
  Usage.formats(parent.command("report"))
    .summary("what leases took, and what reuse saved")
    .description("Reports what the leases of the last 30 days took, as the ledger records them, and what reuse saved.")
    .option("--html <file>", "also write it as a page", Usage.text)
    .addHelpText(
      "after",
      Usage.footer({ examples: ["airflow-resource report", "airflow-resource report --html report.html"] })
    )
    .action(({ html, ...format }: Options) => {
      const isJson = Usage.isJson(format)
      run(
        output(
          isJson,
          read.pipe(
            Effect.tap((report) => html === undefined ? Effect.void : write(html, Report.html(report))),
            Effect.map((report) => isJson ? Report.json(report) : Report.text(report))
          ),
          String
        )
      )
    })

// internal

const read = Effect.gen(function*() {
  const settings = yield* sharedSettings
  return yield* Effect.gen(function*() {
    const pool = yield* DeploymentPool
    const { now, slots } = yield* pool.inspect
    return Report.make({
      title: `Airflows of ${path.basename(process.cwd())}`,
      at: now,
      leases: Report.ofLedger({ events: yield* pool.events(), slots, now }),
      typicalCreation: isAstro(settings) ? Report.typicalCreation : undefined
    })
  }).pipe(Effect.provide(AirflowResources.layerPool(settings)))
})

const isAstro = ({ provider }: Settings.Settings) => provider._tag === "AstroApi" || provider._tag === "AstroCli"

const write = (file: string, page: string) =>
  Effect.try({
    try: () => {
      Report.save(file, page)
    },
    catch: (error) => new PageNotWritten({ file, detail: error instanceof Error ? error.message : String(error) })
  }).pipe(Effect.zipRight(say(`The page is ${path.resolve(file)}`)))
