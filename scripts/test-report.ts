/**
 * `npm run test:report [folder]` renders the report's page in a headless Chromium: on light and dark screens, with 500 leases, narrow,
 * and on paper. It checks pixels and sizes, and writes the pictures into the folder, if there is one.
 */
import { Report } from "airflow-resource"
import { Effect, Schedule } from "effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { colours } from "../packages/airflow-resource/src/internal/report/style.js"
import { leases } from "../packages/airflow-resource/test/reportLeases.js"
import * as Browser from "./report/Browser.js"
import * as Png from "./report/png.js"
import * as Run from "./run.js"

interface View {
  readonly scheme: keyof typeof colours
  readonly width: number
  readonly leases: number
  readonly media?: "print"
}

const views: Readonly<Record<string, View>> = {
  "light": { scheme: "light", width: 1280, leases: 24 },
  "dark": { scheme: "dark", width: 1280, leases: 24 },
  "500 leases": { scheme: "light", width: 1280, leases: 500 },
  "500 leases, dark": { scheme: "dark", width: 1280, leases: 500 },
  "narrow": { scheme: "light", width: 400, leases: 24 },
  // a dark screen makes no dark paper
  "on paper": { scheme: "dark", width: 794, leases: 24, media: "print" }
}

const [pictures] = process.argv.slice(2)

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "airflow-resource-report-"))
process.on("exit", () => fs.rmSync(folder, { recursive: true, force: true }))

interface Bar {
  readonly name: keyof typeof colours.light
  readonly x: number
  readonly y: number
}

/** The middles of bars that are large enough to have a pixel of their colour only. */
const bars = `Array.from(document.querySelectorAll("svg rect"), (bar) => {
  const { height, width, x, y } = bar.getBoundingClientRect()
  return { name: bar.className.baseVal, x: Math.floor(x + width / 2), y: Math.floor(y + scrollY + height / 2), isLarge: width >= 3 && height >= 3 }
}).filter(({ isLarge }) => isLarge)`

/** What is wider than its place, or beyond the border of the page. */
const cutOff = `Array.from(document.querySelectorAll("body *")).filter((element) =>
  element.getBoundingClientRect().right > innerWidth + 0.5 ||
  (/^(H1|H2|P|DD|DT|LI|TD|TH|SPAN)$/.test(element.tagName) && getComputedStyle(element).display !== "none" &&
    element.closest(".axis") === null && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
).slice(0, 5).map((element) => element.outerHTML.slice(0, 80))`

const check = (call: Browser.Call, title: string, { leases: count, media, scheme, width }: View) =>
  Effect.gen(function*() {
    const file = path.join(folder, "report.html")
    fs.writeFileSync(file, Report.html(Report.make({ title: "Airflows of a <run>", at: 0, leases: leases(count, 6) })))
    yield* call("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false })
    yield* call("Emulation.setEmulatedMedia", {
      media: media ?? "",
      features: [{ name: "prefers-color-scheme", value: scheme }]
    })
    yield* call("Page.navigate", { url: pathToFileURL(file).href })
    yield* Effect.repeat(
      Browser.evaluate<boolean>(call, `document.readyState === "complete" && location.href.endsWith("report.html")`),
      { until: (isLoaded) => isLoaded, schedule: Schedule.spaced("20 millis") }
    )
    const height = yield* Browser.evaluate<number>(call, "document.documentElement.scrollHeight")
    const { data } = yield* call<{ data: string }>("Page.captureScreenshot", {
      captureBeyondViewport: true,
      clip: { x: 0, y: 0, width, height: Math.min(height, 6_000), scale: 1 }
    })
    const png = Buffer.from(data, "base64")
    if (pictures !== undefined) {
      fs.mkdirSync(pictures, { recursive: true })
      fs.writeFileSync(path.join(pictures, `${title}.png`), png)
    }
    const image = Png.decode(png)
    const expected = colours[media === "print" ? "light" : scheme]
    const found = (yield* Browser.evaluate<ReadonlyArray<Bar>>(call, bars)).filter(({ y }) => y < image.height)
    const phases = new Set(found.map(({ name }) => name))
    const problems = [
      ...(image.at(2, 2) === expected.background ? [] : [`the background is ${image.at(2, 2)}`]),
      ...found.flatMap(({ name, x, y }) =>
        image.at(x, y) === expected[name] ? [] : [`${name} is ${image.at(x, y)} at ${x}, ${y}, not ${expected[name]}`]
      ),
      // a wait is a thin line
      ...Object.keys(expected).filter((name) => !/background|waiting/.test(name) && !phases.has(name as Bar["name"]))
        .map((name) => `there is no bar of ${name}`),
      ...((yield* Browser.evaluate<number>(call, "document.documentElement.scrollWidth")) <= width
        ? []
        : ["the page is wider than the screen"]),
      ...(yield* Browser.evaluate<ReadonlyArray<string>>(call, cutOff)).map((html) => `cut off: ${html}`)
    ]
    if (problems.length > 0) {
      return yield* new Browser.BrowserFailed({ message: problems.slice(0, 10).join("\n") })
    }
  })

await Run.main(
  Effect.scoped(
    Effect.flatMap(
      Browser.open,
      (call) =>
        Effect.forEach(
          Object.entries(views),
          ([title, view]) => Run.outcome(`the page, ${title}`, check(call, title, view))
        )
    )
  ).pipe(
    Effect.map((outcomes) => [...outcomes, Run.summary(outcomes)])
  )
)
