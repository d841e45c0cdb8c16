/** Copies of the project's folders. A file that has not changed is not touched, and one that has changes in one step. */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"

/**
 * Makes `target` equal to `source`, and returns the paths of the files that differed, relative to both. Follows links of the source. A link
 * in the target is of a task, and is deleted: what it leads to belongs to the user.
 */
export const mirror = (source: string, target: string): ReadonlyArray<string> => {
  const [wanted, present] = [filesOf(source), filesOf(target, { followsLinks: false })]
  const changed: Array<string> = []
  for (const file of present) {
    if (wanted.has(file)) continue
    changed.push(file)
    fs.rmSync(path.join(target, file))
  }
  for (const file of wanted) {
    const content = fs.readFileSync(path.join(source, file))
    const copy = path.join(target, file)
    if (present.has(file) && fs.lstatSync(copy).isFile() && fs.readFileSync(copy).equals(content)) continue
    changed.push(file)
    fs.mkdirSync(path.dirname(copy), { recursive: true })
    // it must not end in .py, because Airflow would read it
    const temporary = `${copy}.${randomBytes(4).toString("hex")}.new`
    fs.writeFileSync(temporary, content, { mode: fs.statSync(path.join(source, file)).mode })
    // a folder may have become a file
    if (fs.statSync(copy, { throwIfNoEntry: false })?.isDirectory()) fs.rmSync(copy, { recursive: true })
    fs.renameSync(temporary, copy)
  }
  return changed
}

/** The files below a folder, by their relative paths, without what Python and version control keep there. None if it does not exist. */
export const filesOf = (folder: string, { followsLinks = true } = {}): ReadonlySet<string> => {
  const found = new Set<string>()
  const walk = (relative: string, above: ReadonlyArray<string>) => {
    const here = path.join(folder, relative)
    // a link may lead back up
    const real = fs.realpathSync(here)
    if (above.includes(real)) return
    for (const name of fs.readdirSync(here)) {
      if (name === "__pycache__" || name === ".git") continue
      const file = path.join(relative, name)
      // a link may lead nowhere
      const stat = (followsLinks ? fs.statSync : fs.lstatSync)(path.join(folder, file), { throwIfNoEntry: false })
      if (stat?.isDirectory()) walk(file, [...above, real])
      if (stat?.isFile() || stat?.isSymbolicLink()) found.add(file)
    }
  }
  if (fs.existsSync(folder)) walk("", [])
  return found
}
