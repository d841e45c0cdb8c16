// Checks every source, test, example and script with Effect's own diagnostics (floating effects, missing services, …).
//
// The command `effect-language-service diagnostics` uses the tsconfig.json above each file, and so reads tests without
// the source condition. This script calls the check behind that command with the options that tsc uses here.
import { createRequire } from "node:module"
import path from "node:path"
import { fileURLToPath } from "node:url"
import ts from "typescript"

const { checkSourceFileWorker } = createRequire(import.meta.url)("@effect/language-service/effect-lsp-patch-utils")

const root = fileURLToPath(new URL("..", import.meta.url))
const read = (name) =>
  ts.getParsedCommandLineOfConfigFile(path.join(root, name), {}, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
      throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n"))
    }
  })

const packages = read("tsconfig.json").projectReferences.map((reference) => path.relative(root, reference.path))
const tools = read("tsconfig.tools.json")
const files = [...packages.flatMap((folder) => read(path.join(folder, "tsconfig.json")).fileNames), ...tools.fileNames]
  .filter((name) => name.endsWith(".ts"))

// If the check stopped working, it would always pass. So it has to find the fault in this file.
const planted = path.join(root, "scripts/planted.ts")
const plantedText = `import * as Effect from "effect/Effect"\nexport const f = () => {\n  Effect.log("floating")\n}\n`

const host = ts.createCompilerHost(tools.options)
const { fileExists, getSourceFile, readFile } = host
host.fileExists = (name) => name === planted || fileExists(name)
host.readFile = (name) => name === planted ? plantedText : readFile(name)
host.getSourceFile = (name, ...rest) =>
  name === planted ? ts.createSourceFile(name, plantedText, rest[0], true) : getSourceFile(name, ...rest)

const options = { ...tools.options, plugins: [{ name: "@effect/language-service" }] }
const program = ts.createProgram([...files, planted], options, host)

const diagnosticsOf = (file) => {
  const diagnostics = []
  checkSourceFileWorker(ts, program, program.getSourceFile(file), options, (one) => diagnostics.push(one), "tsc")
  return diagnostics
}

const found = files.flatMap(diagnosticsOf)
if (found.length > 0) {
  process.stdout.write(ts.formatDiagnosticsWithColorAndContext(found, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => root,
    getNewLine: () => "\n"
  }))
}
const works = diagnosticsOf(planted).some((one) =>
  /neither yielded/.test(ts.flattenDiagnosticMessageText(one.messageText, "\n"))
)
process.stdout.write(`${files.length} files checked for misuse of Effect, ${found.length} problems\n`)
if (!works) process.stdout.write("the planted floating effect was not found: the check does not work\n")
if (found.length > 0 || files.length === 0 || !works) process.exitCode = 1
