// The command, with a defect: it cannot read the name of this host.
import { syncBuiltinESMExports } from "node:module"
import os from "node:os"

os.hostname = () => {
  throw new TypeError("no\nname")
}
syncBuiltinESMExports()

await import("../src/main.js")
