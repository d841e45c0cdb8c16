/** A report as one page of HTML. */
import * as DateTime from "effect/DateTime"
import type { LeaseRecord, Phase, PhaseName, Report } from "./model.js"
import { style } from "./style.js"
import * as Words from "./words.js"

export const page = (report: Report): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(report.title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escape(report.title)}</h1>
<p class="made">Made ${utc(report.at)}</p>
<dl class="totals">${
    Words.totals(report).map(([name, text]) => `<div><dt>${escape(name)}</dt><dd>${escape(text)}</dd></div>`).join("")
  }</dl>
${report.leases.length === 0 ? "<p>No Airflow was leased.</p>" : chart(report)}
</body>
</html>
`

/** Text as the content of an element, or in a quoted attribute. Control characters are not allowed in HTML. */
export const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|\p{Cs}/gu, "\ufffd")

// internal

const chart = (report: Report) => {
  const scale = scaleOf(report)
  return `<ul class="legend" aria-label="Colours">${
    phaseNames.map((name) =>
      `<li><svg viewBox="0 0 20 12" aria-hidden="true">${legendBar(name)}</svg>${Words.phases[name]}</li>`
    )
      .join("")
  }</ul>
<section>
<h2>Deployments</h2>
<p>Which lease had each deployment, and when.</p>
<div class="lanes">
${
    lanes(report).map(([name, leases]) =>
      `<div class="lane"><span>${escape(name)}</span>${laneBar(leases, scale)}</div>`
    ).join("\n")
  }
<div class="lane"><span></span>${axis(scale)}</div>
</div>
</section>
<section>
<h2>Leases</h2>
<table>
<thead><tr><th scope="col" class="test">test${axis(scale)}</th><th scope="col" class="minor">requested at</th>${
    Words.columns.map((name) => `<th scope="col"${classOf(name)}>${name}</th>`).join("")
  }</tr></thead>
<tbody>
${report.leases.map((lease) => row(lease, scale)).join("\n")}
</tbody>
</table>
</section>`
}

interface Scale {
  readonly from: number
  readonly length: number
}

/** The width of a drawing. It is stretched to the width of the page. */
const width = 1000

const scaleOf = ({ leases }: Report): Scale => {
  const times = leases.flatMap(({ phases }) => phases.flatMap(({ from, to }) => [from, to]))
  const from = times.reduce((a, b) => Math.min(a, b), Infinity)
  const to = times.reduce((a, b) => Math.max(a, b), -Infinity)
  return to > from ? { from, length: to - from } : { from: times[0] ?? 0, length: 1 }
}

/** The lane of each deployment, with the leases that had it. */
const lanes = ({ leases }: Report): ReadonlyArray<readonly [string, ReadonlyArray<LeaseRecord>]> => {
  const byName = new Map<string, Array<LeaseRecord>>()
  for (const lease of leases) {
    const name = lease.deployment ?? (lease.slot === null ? undefined : `slot ${lease.slot}`)
    if (name !== undefined) byName.set(name, [...byName.get(name) ?? [], lease])
  }
  return Array.from(byName).sort(([a], [b]) => a < b ? -1 : 1)
}

const phaseNames = Object.keys(Words.phases) as ReadonlyArray<PhaseName>

/** Not only by their colour: a wait is thin, and a deployment is in use where the bar is thick. */
const heights: Record<PhaseName, number> = {
  waiting: 2,
  creating: 8,
  waking: 8,
  resetting: 8,
  delivering: 8,
  using: 12,
  releasing: 5
}

const rect = (name: PhaseName, x: number, barWidth: number, title: string) =>
  `<rect class="${name}" x="${round(x)}" y="${(12 - heights[name]) / 2}" width="${
    round(Math.max(barWidth, 0.5))
  }" height="${heights[name]}">${title === "" ? "" : `<title>${escape(title)}</title>`}</rect>`

const legendBar = (name: PhaseName) => rect(name, 0, 20, "")

const barOf = ({ test }: LeaseRecord, { from, length }: Scale) => (phase: Phase) =>
  rect(
    phase.name,
    (phase.from - from) / length * width,
    (phase.to - phase.from) / length * width,
    `${test}: ${Words.phases[phase.name]}, ${Words.duration(phase.to - phase.from)}`
  )

const svg = (bars: string) =>
  `<svg viewBox="0 0 ${width} 12" preserveAspectRatio="none" aria-hidden="true">${bars}</svg>`

/** A wait has no deployment. */
const laneBar = (leases: ReadonlyArray<LeaseRecord>, scale: Scale) =>
  svg(
    leases.flatMap((lease) => lease.phases.filter(({ name }) => name !== "waiting").map(barOf(lease, scale))).join("")
  )

const row = (lease: LeaseRecord, scale: Scale) => {
  const cells = Words.cells(lease)
  const start = lease.phases[0]
  const isBad = lease.outcome === "lost" || lease.outcome === "no Airflow" || lease.passed === false
  return `<tr${isBad ? ` class="bad"` : ""}><th scope="row" class="test">${escape(lease.test)}${
    lease.problem === null ? "" : `<span class="problem">${escape(lease.problem)}</span>`
  }${svg(lease.phases.map(barOf(lease, scale)).join(""))}</th><td class="minor">${
    start === undefined ? "-" : `<time datetime="${utc(start.from)}">${utc(start.from).slice(11, 19)}</time>`
  }</td>${cells.map((cell, index) => `<td${classOf(Words.columns[index]!)}>${escape(cell)}</td>`).join("")}</tr>`
}

/** `minor`: a narrow screen leaves it out. */
const classOf = (column: (typeof Words.columns)[number]) =>
  column === "deployment"
    ? ` class="long minor"`
    : column === "reset" || column === "started in"
    ? ` class="minor"`
    : ""

/** The times at the borders of four parts. */
const axis = ({ from, length }: Scale) =>
  `<span class="axis" aria-hidden="true">${
    [0, 1, 2, 3].map((part) => `<span>${tick(from, part * length / 4)}</span>`).join("")
  }</span>`

const tick = (from: number, after: number) =>
  after === 0 ? `${utc(from).slice(11, 19)} UTC` : `+${Words.duration(after)}`

const utc = (millis: number) => DateTime.formatIso(DateTime.unsafeMake(millis))

const round = (x: number) => Math.round(x * 100) / 100
