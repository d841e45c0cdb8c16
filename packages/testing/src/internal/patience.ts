/** What a test prints while it waits for its Airflow: one line, then nothing until something has changed. */
import * as Duration from "effect/Duration"
import * as RealTime from "./realTime.js"

/** What a wait is about. In the queue, `activity` is the place and the reason. */
export interface Step {
  readonly activity: string
  /** How long the step usually takes. */
  readonly usual?: Duration.DurationInput | undefined
}

export interface Patience {
  readonly onProgress: (step: Step) => void
  /** The wait is over. */
  readonly stop: () => void
}

/** How long a wait has to last before it is worth a line, and how long a line lasts. */
export const patience = Duration.seconds(10)

export const begin = (testName: string, { after, print }: {
  readonly after: typeof RealTime.after
  readonly print: (line: string) => void
} = { after: RealTime.after, print: (line) => process.stderr.write(line) }): Patience => {
  let isOver = false
  let printed: string | undefined
  let latest: string | undefined
  let timer: { readonly stop: () => void } | undefined
  const wait = () => {
    timer ??= after(patience, () => {
      timer = undefined
      if (isOver || latest === undefined || latest === printed) return
      printed = latest
      print(`airflow-resource: "${testName}" waits for its Airflow: ${latest}\n`)
      // what changes until then is told in one line
      wait()
    })
  }
  return {
    onProgress: ({ activity, usual }) => {
      if (isOver) return
      latest = usual === undefined ? activity : `${activity}; this usually takes ${Duration.format(usual)}`
      if (latest !== printed) wait()
    },
    stop: () => {
      isOver = true
      timer?.stop()
    }
  }
}
