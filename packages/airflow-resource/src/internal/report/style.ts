/**
 * How the page looks. The colours of the phases differ for every kind of colour vision, and have a contrast of 3:1 at least
 * with their background.
 */
import type { PhaseName } from "./model.js"

export const colours: Record<"light" | "dark", { readonly background: string } & Record<PhaseName, string>> = {
  light: {
    background: "#ffffff",
    waiting: "#8c8c8c",
    creating: "#9b1689",
    waking: "#f0650a",
    resetting: "#6a22e0",
    delivering: "#1c97f2",
    using: "#00562b",
    releasing: "#2a1226"
  },
  dark: {
    background: "#14171c",
    waiting: "#939393",
    creating: "#c63bb4",
    waking: "#f1b62f",
    resetting: "#9a45f0",
    delivering: "#b5f0fd",
    using: "#12983a",
    releasing: "#f7f3b5"
  }
}

const properties = (scheme: keyof typeof colours) =>
  Object.entries(colours[scheme]).map(([name, colour]) => `--${name}:${colour};`).join("")

const light = `${properties("light")}--text:#1b1f24;--quiet:#57606a;--line:#d5dae0;--bad:#b3261e;`

export const style = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${
  properties("dark")
}--text:#e6e9ee;--quiet:#9aa4b1;--line:#343a43;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;padding:24px;background:var(--background);color:var(--text);font:14px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0;overflow-wrap:anywhere}
h2{font-size:16px;margin:28px 0 4px}
p{margin:0 0 10px}
.made,p,dt,.axis,thead th{color:var(--quiet)}
.totals{display:flex;flex-wrap:wrap;gap:12px 32px;margin:16px 0}
dt{font-size:12px}
dd{margin:0;font-weight:600}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;padding:10px 0 0;margin:0;list-style:none;border-top:1px solid var(--line)}
.legend svg{display:inline-block;width:20px;height:12px;margin-right:7px}
svg{display:block;width:100%;height:12px}
${Object.keys(colours.light).map((name) => `rect.${name}{fill:var(--${name})}`).join("")}
rect{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.lane{display:grid;grid-template-columns:minmax(90px,22%) 1fr;gap:12px;align-items:center;padding:4px 0}
.lane>span:first-child{overflow-wrap:anywhere;font-size:12px}
.lane svg{height:22px}
.axis{display:flex;font-weight:400;font-size:11px}
.axis span{flex:1;border-left:1px solid var(--line);padding-left:4px;white-space:nowrap;overflow:hidden}
table{width:100%;border-collapse:collapse;table-layout:fixed}
th,td{padding:5px 8px 5px 0;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{font-size:12px;border-top:0;vertical-align:bottom}
th.test{width:40%;font-weight:400;padding-right:16px;overflow-wrap:anywhere}
th.long{width:18%}
td.long{font-size:11.5px;padding-right:0;overflow-wrap:anywhere}
thead th.test{font-weight:600}
th.test svg{margin-top:3px}
td{font-variant-numeric:tabular-nums}
.problem{display:block;font-size:12px}
.bad .problem,.bad td:nth-of-type(2){color:var(--bad);font-weight:600}
@media screen and (max-width:760px){body{padding:12px}.minor,thead .axis{display:none}th.test{width:36%}td,thead th{font-size:11px;padding-right:4px}}
@media print{:root{color-scheme:light;${light}}body{padding:0;font-size:10px}td,thead th{font-size:8.5px;padding-right:5px}td.long,.axis{font-size:8px}tr,.lane{break-inside:avoid}}
`
