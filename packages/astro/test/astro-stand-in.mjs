// Replaces the astro CLI in tests: sends the same requests and prints the same output. recordings.test.ts compares it with recordings of
// real programs. `globalThis.standIn` (see StandIn.ts) makes it misbehave.
import { spawn } from "node:child_process"
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import http from "node:http"
import { join } from "node:path"
import { gzipSync } from "node:zlib"

const { log, mood, version = "1.45.0", when = "" } = globalThis.standIn
const [command, ...rest] = process.argv.slice(2)
const config = readFileSync(join(process.env.ASTRO_HOME, ".astro", "config.yaml"), "utf8")
const setting = (name) => JSON.parse(new RegExp(`^ *${name}: (".*")$`, "m").exec(config)?.[1] ?? `""`)
if (log) {
  appendFileSync(log, `${JSON.stringify({ argv: process.argv.slice(2), env: process.env, cwd: process.cwd(), pid: process.pid })}\n`)
}

const fail = (message) => {
  process.stderr.write(`Error: ${message}\n`)
  process.exitCode = 1
}

/** `-X POST -H "a: b" --input -`, in any order. */
const optionsOf = (args) => {
  const options = { headers: [], method: undefined, path: undefined, input: undefined, include: false }
  for (let at = 0; at < args.length; at++) {
    if (args[at] === "-X") options.method = args[++at]
    else if (args[at] === "-H") options.headers.push(args[++at].split(/: ?(.*)/s).slice(0, 2))
    else if (args[at] === "--input") options.input = args[++at]
    else if (args[at] === "-i") options.include = true
    else options.path = args[at]
  }
  return options
}

const sorted = (value) =>
  Array.isArray(value)
    ? value.map(sorted)
    : value === null || typeof value !== "object"
    ? value
    : Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]))

/** JSON as Go prints it. */
const pretty = (text) => {
  try {
    const json = JSON.stringify(sorted(JSON.parse(text)), null, 2)
    return `${json.replace(/[\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`)}\n`
  } catch {
    return text
  }
}

const canonical = (name) => name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())

/** Sends a request. Fails with the messages of Go's HTTP client. */
const send = (method, url, headers, body) =>
  new Promise((resolve, reject) => {
    const agent = new http.Agent({ keepAlive: true })
    const broken = (why) => reject(new Error(`${method[0]}${method.slice(1).toLowerCase()} "${url}": ${why}`))
    const request = http.request(url, { method, agent, headers }, (response) => {
      const chunks = []
      response.on("data", (chunk) => chunks.push(chunk))
      response.on("error", () => reject(new Error("reading response: unexpected EOF")))
      response.on("end", () => {
        agent.destroy()
        resolve({ status: response.statusCode, response, text: Buffer.concat(chunks).toString() })
      })
    })
    request.on("error", ({ code }) =>
      broken(code === "ECONNREFUSED" ? `dial tcp ${new URL(url).host}: connect: connection refused` : "EOF"))
    request.end(body)
  })

const withBody = (body) => body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }

const cloud = async (args) => {
  if (config === "") {
    const other = /^1\.4[0-4]\b/.test(version) ? "Astro Private Cloud" : "APC"
    return fail(`getting current context: no context set, have you authenticated to Astro or ${other}? Run astro login and try again`)
  }
  if (/^(Bearer )?$/.test(setting("token"))) return fail("not authenticated. Run 'astro login' to authenticate")
  const { headers, include, input, method, path } = optionsOf(args)
  const body = input === undefined ? undefined : readFileSync(0)
  const verb = method ?? (body === undefined ? "GET" : "POST")
  try {
    const { response, status, text } = await send(verb, `${setting("core")}/v1${path}`, {
      authorization: setting("token"),
      accept: "application/json",
      "user-agent": "Go-http-client/1.1",
      ...withBody(body),
      ...Object.fromEntries(headers)
    }, body)
    if (include) {
      const lines = Object.entries(response.headers)
        .filter(([name]) => name !== "transfer-encoding")
        .map(([name, value]) => `${canonical(name)}: ${value}\n`).sort()
      process.stdout.write(`HTTP/1.1 ${status} ${response.statusMessage}\n${lines.join("")}\n`)
    }
    process.stdout.write(pretty(text))
    if (status >= 400) fail(`API request failed with status ${status}`)
  } catch ({ message }) {
    fail(message.startsWith("reading") ? message : `executing request: ${message}`)
  }
}

const bundle = async () => {
  const files = readdirSync("dags", { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  if (files.length === 0) return gzipSync(Buffer.alloc(1024))
  const tar = await import("tar")
  return tar.create({ gzip: true, sync: true }, files.map(({ name, parentPath }) => join(parentPath, name))).read()
}

/** `deploy ID --dags --force --workspace-id W`, in a project. */
const deploy = async ([id, ...options]) => {
  const organization = `${setting("core")}/v1/organizations/${setting("organization")}`
  const call = async (method, path, json) => {
    const body = json && Buffer.from(JSON.stringify(json))
    const headers = { authorization: setting("token"), "x-astro-client-identifier": "cli", ...withBody(body) }
    const { response, status, text } = await send(method, `${organization}/deployments/${id}${path}`, headers, body)
    if (status === 200) return JSON.parse(text)
    const isJson = /json/.test(response.headers["content-type"])
    throw new Error(isJson ? JSON.parse(text).message : `failed to perform request, status ${status}`)
  }
  const put = async (url, body) => {
    const headers = { accept: "application/xml", "content-type": "application/octet-stream", "x-ms-blob-type": "BlockBlob" }
    const target = new URL(url)
    target.searchParams.sort()
    for (let left = 3;; left--) {
      const { response, status, text } = await send("PUT", target.href, { ...headers, "content-length": body.length }, body)
      if (status === 201) return response.headers["x-ms-version-id"]
      // the real program waits some seconds before a retry
      if (status >= 500 && left > 0) continue
      const line = "-".repeat(80)
      const answer = [`RESPONSE ${status}: ${status} ${response.statusMessage}`, "ERROR CODE UNAVAILABLE", line]
      throw new Error([`PUT ${url.split("?")[0]}`, line, ...answer, text || "Response contained no body", line, ""].join("\n"))
    }
  }
  process.stdout.write("Authenticated to localhost \n\n")
  try {
    const { isDagDeployEnabled, webServerUrl, workspaceId } = await call("GET", "")
    const given = options[options.indexOf("--workspace-id") + 1]
    if (workspaceId !== given) {
      process.stdout.write(`Invalid workspace id ${given} was provided through the --workspace-id flag\n`)
      return
    }
    const { dagsUploadUrl, id: deployId, imageTag } = await call("POST", "/deploys", { description: "", type: "DAG_ONLY" })
    if (!isDagDeployEnabled) {
      const remedy = `Run 'astro deployment update ${id} --dag-deploy enable' to enable DAG-only deploys`
      throw new Error(`DAG-only deploys are not enabled for this Deployment. ${remedy}`)
    }
    process.stdout.write(`Initiating DAG deploy for: ${id}\n`)
    const version = await put(dagsUploadUrl, await bundle())
    if (version === undefined) return moods.panics()
    await call("POST", `/deploys/${deployId}/finalize`, { dagTarballVersion: version })
    process.stdout.write(`Deployed DAG bundle:  ${version}
Deployed Image Tag:  ${imageTag}

Successfully uploaded DAGs with version ${version} to Astro. Navigate to the Airflow UI to confirm that your deploy was successful. \
The Airflow UI takes about 1 minute to update.

 Access your Deployment:

 Deployment View: localhost:5000/${workspaceId}/deployments/${id}
 Airflow UI: ${webServerUrl}

`)
  } catch ({ message }) {
    fail(message)
  }
}

/** Creates fewer files than the real program. `npm run test:astro` compares the template with that. */
const devInit = (args) => {
  const after = (name) => args[args.indexOf(name) + 1]
  const [name, runtime, folder] = [after("--name"), after("--runtime-version"), process.cwd()]
  const usage = "\nUsage:\n  astro dev init [flags]\n"
  if (!/^[a-z0-9]([a-z0-9_-]*[a-z0-9])$/i.test(name)) return fail(`project name is invalid${usage}`)
  if (readdirSync(".").length > 0) {
    process.stdout.write(
      `${folder} is not an empty directory. Are you sure you want to initialize a project here? (y/n) Canceling project initialization...\n`
    )
    return
  }
  if (!/^\d+\.\d+[.-]\d+/.test(runtime)) {
    return fail(`unsupported Airflow major version for runtime version ${runtime}${usage}`)
  }
  mkdirSync(".astro")
  writeFileSync(".astro/config.yaml", `project:\n    name: ${name}\n`)
  writeFileSync("Dockerfile", `FROM stand-in:${runtime}\n`)
  process.stdout.write(`Initialized empty Astro project in ${folder}\n`)
}

const ignoring = () => {
  process.on("SIGTERM", () => {})
  setInterval(() => {}, 1000)
}

/** What it does instead of a command. */
const moods = {
  hangs: () => setInterval(() => {}, 1000),
  floods: () => process.stdout.write(Buffer.alloc(65 * 1024 * 1024, "HTTP/1.1 200 OK\n\n")),
  stubborn: ignoring,
  forks: () => {
    const grandchild = spawn(process.execPath, ["-e", `(${ignoring})()`], { stdio: "inherit" })
    appendFileSync(log, `${JSON.stringify({ pid: grandchild.pid })}\n`)
    ignoring()
  },
  cancels: () => process.stdout.write("Are you sure? (y/n) Canceling deployment deletion\n"),
  silent: () => {},
  help: () => process.stdout.write("Usage:\n  astro [command]\n"),
  loggedOut: () => fail("not authenticated. Run 'astro login' to authenticate"),
  opensBrowser: () => {
    process.stdout.write("Press Enter to open the browser to log in or ^C to quit…\n")
    process.exitCode = 1
  },
  panics: () => {
    process.stderr.write("panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV]\n\ngoroutine 1 [running]:\n")
    process.exitCode = 2
  },
  deadline: () => fail(`executing request: Get "${setting("core")}/v1/organizations": context deadline exceeded`),
  shouts: () => fail(`something with ${setting("token")}`),
  diesHalfway: () =>
    process.stdout.write(`HTTP/1.1 200 OK\nContent-Type: application/json\n\n{"organizations": []}\n`, moods.dies),
  dies: () => process.kill(process.pid, "SIGKILL")
}

if (command === "version") {
  if (mood === "hangsAtVersion") moods.hangs()
  else if (mood === "other") process.stdout.write(" astro  v5.1.0 Build faster websites.\n")
  else process.stdout.write(`Astro CLI Version: ${version}\n`)
} else if (moods[mood] !== undefined && process.argv.join(" ").includes(when)) moods[mood]()
else if (command === "deploy") await deploy(rest)
else if (command === "dev" && rest[0] === "init") devInit(rest)
else if (command === "api" && rest[0] === "cloud") await cloud(rest.slice(1))
else fail(`unknown command "${command}" for "astro"`)
