/**
 * Installs the packages that `package-lock.json` names, unless it has been done since that file changed: `npm start` and `npm test` run it
 * first, so that they work on a fresh clone.
 */
import { spawnSync } from "node:child_process"
import { statSync } from "node:fs"

const root = new URL("..", import.meta.url)
const changedAt = (file) => statSync(new URL(file, root), { throwIfNoEntry: false })?.mtimeMs

// npm writes the second file when it has installed everything
const isInstalled = changedAt("node_modules/.package-lock.json") >= changedAt("package-lock.json")
const { status } = isInstalled ? { status: 0 } : spawnSync("npm", ["ci"], { cwd: root, stdio: "inherit" })
process.exitCode = status ?? 1
