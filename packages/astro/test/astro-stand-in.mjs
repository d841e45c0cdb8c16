// Stands in for the astro CLI where there is none: makes the request, and prints as the program does. `npm run test:astro` holds
// it against the real one. `globalThis.standIn` (see StandIn.ts) makes it misbehave.
import { spawn } from "node:child_process"
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import http from "node:http"
import { join } from "node:path"

const { log, mood, version = "1.45.0" } = globalThis.standIn
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

/** As Go prints it. */
const pretty = (text) => {
  try {
    const json = JSON.stringify(sorted(JSON.parse(text)), null, 2)
    return `${json.replace(/[\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`)}\n`
  } catch {
    return text
  }
}

const canonical = (name) => name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase())

const cloud = (args) => {
  const { headers, include, input, method, path } = optionsOf(args)
  const url = `${setting("core")}/v1${path}`
  const body = input === undefined ? undefined : readFileSync(0)
  const agent = new http.Agent({ keepAlive: true })
  const verb = method ?? (body === undefined ? "GET" : "POST")
  const request = http.request(url, {
    method: verb,
    agent,
    headers: {
      authorization: setting("token"),
      accept: "application/json",
      "user-agent": "Go-http-client/1.1",
      ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
      ...Object.fromEntries(headers)
    }
  }, (response) => {
    const chunks = []
    response.on("data", (chunk) => chunks.push(chunk))
    response.on("end", () => {
      agent.destroy()
      const status = response.statusCode
      if (include) {
        const lines = Object.entries(response.headers)
          .filter(([name]) => name !== "transfer-encoding")
          .map(([name, value]) => `${canonical(name)}: ${value}\n`).sort()
        process.stdout.write(`HTTP/1.1 ${status} ${response.statusMessage}\n${lines.join("")}\n`)
      }
      process.stdout.write(pretty(Buffer.concat(chunks).toString()))
      if (status >= 400) fail(`API request failed with status ${status}`)
    })
  })
  const asked = `${verb[0]}${verb.slice(1).toLowerCase()} "${url}"`
  request.on("error", ({ code }) => {
    const { host } = new URL(url)
    const refused = `dial tcp ${host}: connect: connection refused`
    fail(`executing request: ${asked}: ${code === "ECONNREFUSED" ? refused : "EOF"}`)
  })
  request.end(body)
}

/** `deploy ID --dags --force --workspace-id W`, in a project. */
const deploy = async ([id, ...options]) => {
  if (!existsSync(".astro/config.yaml")) return fail("this is not an Astro project directory.")
  process.stdout.write("Authenticated to localhost \n\n")
  const deployment = `${setting("core")}/v1/organizations/${setting("organization")}/deployments/${id}`
  const call = async (method, path, body) => {
    const headers = { authorization: setting("token"), ...(body ? { "content-type": "application/json" } : {}) }
    const response = await fetch(`${deployment}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) })
    const text = await response.text()
    if (response.status === 200) return JSON.parse(text)
    const isJson = /json/.test(response.headers.get("content-type"))
    throw new Error(isJson ? JSON.parse(text).message : `failed to perform request, status ${response.status}`)
  }
  try {
    const { workspaceId } = await call("GET", "")
    const given = options[options.indexOf("--workspace-id") + 1]
    if (workspaceId !== given) {
      process.stdout.write(`Invalid workspace id ${given} was provided through the --workspace-id flag\n`)
      return
    }
    const { dagsUploadUrl, id: deployId } = await call("POST", "/deploys", { description: "", type: "DAG_ONLY" })
    process.stdout.write(`Initiating DAG deploy for: ${id}\n`)
    const uploaded = await fetch(dagsUploadUrl, { method: "PUT", body: readdirSync("dags", { recursive: true }).join() })
    const version = uploaded.headers.get("x-ms-version-id")
    await call("POST", `/deploys/${deployId}/finalize`, { dagTarballVersion: version })
    process.stdout.write(
      `Deployed DAG bundle:  ${version}\n\nSuccessfully uploaded DAGs with version ${version} to Astro. Navigate to the Airflow UI\n`
    )
  } catch (error) {
    fail(error.message)
  }
}

/** Less than the program makes: `npm run test:astro` holds the template against it. */
const devInit = (args) => {
  const after = (name) => args[args.indexOf(name) + 1]
  mkdirSync(".astro")
  writeFileSync(".astro/config.yaml", `project:\n    name: ${after("--name")}\n`)
  writeFileSync("Dockerfile", `FROM stand-in:${after("--runtime-version")}\n`)
  process.stdout.write(`Initialized empty Astro project in ${process.cwd()}\n`)
}

const ignoring = () => {
  process.on("SIGTERM", () => {})
  setInterval(() => {}, 1000)
}

/** What it does instead of a request. */
const moods = {
  hangs: () => setInterval(() => {}, 1000),
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
    process.stderr.write("panic: runtime error: invalid memory address or nil pointer dereference\n\ngoroutine 1 [running]:\n")
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
} else if (moods[mood] !== undefined) moods[mood]()
else if (command === "deploy") await deploy(rest)
else if (command === "dev" && rest[0] === "init") devInit(rest)
else if (command === "api" && rest[0] === "cloud") cloud(rest.slice(1))
else fail(`unknown command "${command}" for "astro"`)
