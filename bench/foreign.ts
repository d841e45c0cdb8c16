/** What a module needs from other packages. */
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"

const packages = fileURLToPath(new URL("../packages/", import.meta.url))

/** Modules of other packages that are loaded together with a module, as URLs. */
export const foreign = (entry: string): ReadonlyArray<string> => {
  const found = new Set<string>()
  const seen = new Set<string>()
  const visit = (url: string) => {
    if (seen.has(url)) return
    seen.add(url)
    for (
      const [, to = ""] of fs.readFileSync(fileURLToPath(url), "utf8").matchAll(
        /^(?:import|export) (?:[^"=]* from )?"([^"]+)";$/gm
      )
    ) {
      // outside of a worker of vitest, this cannot be imported
      if (to === "vitest") continue
      const resolved = to.startsWith(".") ? new URL(to, url).href : import.meta.resolve(to)
      if (resolved.startsWith("node:")) found.add(resolved)
      else if (fs.realpathSync(fileURLToPath(resolved)).startsWith(packages)) visit(resolved)
      else found.add(resolved)
    }
  }
  visit(import.meta.resolve(entry))
  return [...found]
}
