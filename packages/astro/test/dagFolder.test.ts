import { AstroCli, AstroProject } from "@airflow-resource/astro"
import { ProjectDirectory } from "@airflow-resource/core"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { FileSystem, HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { createServer } from "node:net"
import * as tar from "tar"
import * as Deploy from "../src/internal/deploy.js"

const temporary = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

/** A link to a folder of DAGs in which anything may be. */
const hostile = Effect.gen(function*() {
  const root = yield* temporary
  const real = `${root}/real`
  fs.mkdirSync(`${real}/shop/.git`, { recursive: true })
  fs.mkdirSync(`${real}/.git`)
  for (const file of [...files, ".env", "shop/.env.local", ".git/config"]) fs.writeFileSync(`${real}/${file}`, "")
  fs.writeFileSync(`${real}/shop/.git/HEAD`, "")
  fs.writeFileSync(`${root}/smuggled.py`, "")
  yield* Effect.promise(() => tar.create({ cwd: root, file: `${real}/@evil` }, ["smuggled.py"]))
  for (const [name, target] of links) fs.symlinkSync(target, `${real}/${name}`)
  assert.strictEqual(spawnSync("mkfifo", [`${real}/fifo`]).status, 0)
  yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const server = createServer()
      server.listen(`${real}/shop/socket`, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
  )
  fs.symlinkSync(real, `${root}/dags`)
  return `${root}/dags`
})

const files = [
  "one.py",
  "shop/two.py",
  "@team",
  ".airflowignore",
  "-rf.py",
  "two\nlines.py",
  "c:drive.py",
  "b\\slash.py"
]
const links = [
  ["link.py", "one.py"],
  ["gone.py", "nowhere"],
  ["outside.py", "../smuggled.py"],
  ["itself", "itself"],
  ["shop/up", ".."],
  ["exampledag.py", "one.py"]
] as const
const delivered = [...files, "@evil", ...links.map(([name, target]) => `${name} -> ${target}`)].sort()

const account = {
  apiUrl: "http://127.0.0.1:1",
  token: Redacted.make("token"),
  workspaceId: "ws",
  organizationId: Option.none<string>()
}

/** The files and links below a folder. */
const filesIn = (folder: string): ReadonlyArray<string> =>
  fs.readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) => {
    const path = `${entry.parentPath}/${entry.name}`
    const name = path.slice(folder.length + 1)
    return entry.isDirectory() ? [] : [entry.isSymbolicLink() ? `${name} -> ${fs.readlinkSync(path)}` : name]
  }).sort()

/** What a deploy through Astro's API uploads. */
const bundleOf = (dags: string) =>
  Effect.gen(function*() {
    let bundle: Uint8Array | undefined
    const http = HttpClient.make((request, url) => {
      if (request.method === "PUT" && request.body._tag === "Uint8Array") bundle = request.body.body
      return Effect.succeed(HttpClientResponse.fromWeb(
        request,
        request.method === "PUT"
          ? new Response(null, { status: 201, headers: { "x-ms-version-id": "v1" } })
          : Response.json(url.pathname.endsWith("/finalize") ? { id: "d" } : { id: "d", dagsUploadUrl: "http://blobs" })
      ))
    })
    yield* Deploy.dags({ ...account, organizationId: "org", deploymentId: "dep", dags }).pipe(
      Effect.provideService(HttpClient.HttpClient, http)
    )
    const file = `${yield* temporary}/bundle.tar.gz`
    fs.writeFileSync(file, bundle!)
    const entries: Array<string> = []
    yield* Effect.promise(() =>
      tar.list({
        file,
        onReadEntry: ({ linkpath, path, type }) => {
          if (type !== "Directory") entries.push(type === "SymbolicLink" ? `${path} -> ${linkpath}` : path)
        }
      })
    )
    return entries.sort()
  })

/** What the astro CLI finds in the project that it deploys. */
const projectOf = (dags: string) =>
  Effect.gen(function*() {
    let found: ReadonlyArray<string> = []
    const ended = (stdout: string) => ({ exitCode: 0, signal: null, stdout, stderr: "", isCut: false })
    const runner = ProcessRunner.layerTest(({ args, cwd }) => {
      if (args[0] === "version") return Effect.succeed(ended("Astro CLI Version: 1.45.0\n"))
      assert.isTrue(fs.lstatSync(`${cwd}/dags`).isDirectory())
      found = filesIn(`${cwd}/dags`)
      return Effect.succeed(ended("Successfully uploaded DAGs with version v1 to Astro\n"))
    })
    const { deployDags } = yield* Effect.provide(
      AstroCli.make({ ...account, bin: "/opt/astro" }),
      Layer.merge(runner, NodeContext.layer)
    )
    yield* deployDags({ deploymentId: "dep", organizationId: "org", token: account.token, dags })
    return found
  })

describe("a deploy of a folder of DAGs", () => {
  it.scoped("through the API contains its files, and nothing else", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* bundleOf(yield* hostile), delivered.map((name) => `dags/${name}`))
    }).pipe(Effect.provide(NodeContext.layer)), 20_000)

  it.scoped("through the astro CLI contains the same", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* projectOf(yield* hostile), delivered)
    }).pipe(Effect.provide(NodeContext.layer)), 20_000)

  it.scoped("is what a lease's project contains too", () =>
    Effect.gen(function*() {
      const projects = AstroProject.layer.pipe(Layer.provideMerge(NodeContext.layer))
      const { path } = yield* Effect.flatMap(
        ProjectDirectory.ProjectDirectory,
        ({ make }) => make({ name: "one", runtimeVersion: "13.1.0" })
      ).pipe(Effect.provide(AstroProject.withDags(projects, yield* hostile)))
      assert.deepStrictEqual(filesIn(`${path}/dags`), delivered)
    }).pipe(Effect.provide(NodeContext.layer)), 20_000)

  it.scoped("names what is wrong with the folder", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      fs.writeFileSync(`${root}/file`, "")
      fs.symlinkSync("nowhere", `${root}/dangling`)
      fs.symlinkSync("loop", `${root}/loop`)
      for (
        const [name, problem] of [
          ["missing", "does not exist"],
          ["dangling", "does not exist"],
          ["file", "is not a folder"],
          ["loop", "is a link that leads to itself"]
        ] as const
      ) {
        const expected = {
          detail: `the DAG folder ${root}/${name} ${problem}`,
          remedy: "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."
        }
        assert.deepInclude(yield* Effect.flip(bundleOf(`${root}/${name}`)), expected)
        assert.deepInclude(yield* Effect.flip(projectOf(`${root}/${name}`)), expected)
      }
    }).pipe(Effect.provide(NodeContext.layer)))

  // macOS has only names in UTF-8
  it.scoped.skipIf(process.platform === "darwin")("names what cannot be read", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      fs.mkdirSync(`${root}/shop`)
      fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/shop/`), Buffer.from([0xff])]), "")
      const expected = (done: string) =>
        `the DAG folder ${root} could not be ${done} completely (ENOENT: ${root}/shop/\ufffd)`
      const read = yield* Effect.flip(bundleOf(root))
      const copied = yield* Effect.flip(projectOf(root))
      assert.propertyVal(read, "detail", expected("read"))
      assert.propertyVal(copied, "detail", expected("copied"))
      assert.match(`${copied.remedy}`, /names in UTF-8/)
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scoped("is refused if the bundle would not fit into memory", () =>
    Effect.gen(function*() {
      const root = yield* temporary
      fs.writeFileSync(`${root}/data.bin`, "")
      fs.truncateSync(`${root}/data.bin`, 2 ** 30)
      assert.deepInclude(yield* Effect.flip(bundleOf(root)), {
        detail: `the DAG folder ${root} holds more than 512 MiB`,
        remedy: "Keep data elsewhere, or set AIRFLOW_DAG_PATH to a folder with nothing but DAGs."
      })
    }).pipe(Effect.provide(NodeContext.layer)))
})
