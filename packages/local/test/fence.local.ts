import type { Deployment } from "@airflow-resource/core"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import * as DeploymentFolder from "../src/internal/DeploymentFolder.js"
import * as Processes from "../src/internal/Processes.js"
import * as Dags from "./dags.js"
import * as Home from "./home.js"

class Scene extends Context.Tag("test/Scene")<Scene, {
  readonly home: string
  readonly folder: string
  readonly provider: Home.Provider
  readonly deployment: Deployment.Deployment
  readonly api: string
}>() {}

const isAirflow2 = Home.major === 2

const scene = Layer.scoped(
  Scene,
  Effect.gen(function*() {
    const home = yield* Home.make
    const provider = yield* Home.provider(home)
    const deployment = yield* Home.create(provider)
    const folder = Home.folderOf(home, deployment)
    return { home, folder, provider, deployment, api: `${deployment.airflowUrl}/api/v${Home.major - 1}` }
  })
)

const mint = Effect.flatMap(Scene, ({ deployment, provider }) => provider.createToken(deployment.id, "of a test"))

/** Airflow 2 rejects a body of more than a megabyte. */
const size = (isAirflow2 ? 0.9 : 20) * 1024 * 1024

layer(scene, { excludeTestServices: true, timeout: "20 minutes" })("the fence of a local Airflow", (it) => {
  it.scoped("accepts live tokens of its own deployment alone, until deleteToken returns", () =>
    Effect.gen(function*() {
      const { api, deployment, home, provider } = yield* Scene
      const status = (token?: string) =>
        Effect.map(
          Home.request(`${api}/dags`, token === undefined ? {} : { token: Redacted.make(token) }),
          ({ status }) => status
        )
      assert.strictEqual(yield* status(), 401)
      const token = yield* mint
      const value = Redacted.value(token.value)
      assert.strictEqual(yield* status(value), 200)
      const [id = "", secret = ""] = value.split(".")
      const wrong = [
        "",
        "x",
        id,
        secret,
        `${id}.${secret.replace(/./, (first) => first === "0" ? "1" : "0")}`,
        `${id}.${secret}0`,
        `../tokens/${value}`
      ]
      for (const one of wrong) assert.strictEqual(yield* status(one), 401, one)
      for (const scheme of ["Basic", ""]) {
        const response = yield* Home.request(`${api}/dags`, { headers: { authorization: `${scheme} ${value}` } })
        assert.strictEqual(response.status, 401, scheme)
      }

      const other = yield* provider.create({ name: "another", description: "", spec: yield* Home.spec })
      const foreign = yield* provider.createToken(other.id, "of another deployment")
      assert.strictEqual(yield* status(Redacted.value(foreign.value)), 401)
      yield* provider.delete(other.id)
      assert.lengthOf(Home.foldersOf(home), 1)

      for (let times = 0; times < 10; times++) {
        const short = yield* mint
        assert.strictEqual(yield* status(Redacted.value(short.value)), 200)
        yield* provider.deleteToken(deployment.id, short.id)
        assert.strictEqual(yield* status(Redacted.value(short.value)), 401)
      }
      assert.strictEqual(yield* status(value), 200, "the others stay")
    }), 1_200_000)

  it.scoped("answers on its own address only", () =>
    Effect.gen(function*() {
      const { api, deployment } = yield* Scene
      const { value } = yield* mint
      const { port } = new URL(deployment.airflowUrl)
      const status = (host: string) =>
        Effect.map(Home.request(`${api}/dags`, { token: value, headers: { host } }), ({ status }) => status)
      assert.strictEqual(yield* status(`localhost:${port}`), 200)
      for (const host of ["evil.example", `evil.example:${port}`, "127.0.0.1", `127.0.0.1:1`, `localhost.:${port}`]) {
        assert.strictEqual(yield* status(host), 403, host)
      }
    }))

  it.scoped("ends a response that is under way when its token is deleted", ({ skip }) =>
    Effect.gen(function*() {
      // the others cannot wait for a run
      if (/^(2|3\.0)\./.test(Home.version)) return skip()
      const { api, deployment, home, provider } = yield* Scene
      const dags = path.join(home, "dags")
      fs.mkdirSync(dags)
      fs.writeFileSync(path.join(dags, "slow.py"), Dags.sleeping("slow"))
      yield* Home.deliver({ home, dags, root: home, variables: {}, allowBroken: false }, deployment)
      const [token, other] = [yield* mint, yield* mint]
      const send = (method: string, route: string, body: object) =>
        Home.request(`${api}${route}`, { token: other.value, method, body: JSON.stringify(body) })
      assert.strictEqual((yield* send("PATCH", "/dags/slow", { is_paused: false })).status, 200)
      const { status, text } = yield* send("POST", "/dags/slow/dagRuns", { logical_date: null })
      assert.strictEqual(status, 200, text)
      const { dag_run_id: runId } = JSON.parse(text) as { readonly dag_run_id: string }

      const waits = (token: { readonly value: Redacted.Redacted }) => {
        const url = `${api}/dags/slow/dagRuns/${encodeURIComponent(runId)}/wait?interval=1`
        const begun = { text: "", end: undefined as undefined | "complete" | "cut" }
        const sent = http.get(url, {
          agent: false,
          headers: { authorization: `Bearer ${Redacted.value(token.value)}` }
        })
        sent.on("response", (response) => {
          response.on("data", (chunk) => begun.text += chunk)
          response.on("error", () => {})
          response.on("close", () => begun.end = response.complete ? "complete" : "cut")
        })
        return Effect.acquireRelease(Effect.succeed(begun), () => Effect.sync(() => sent.destroy()))
      }
      const [own, others] = [yield* waits(token), yield* waits(other)]
      yield* Home.holds("both have begun", Effect.sync(() => own.text !== "" && others.text !== ""))
      yield* provider.deleteToken(deployment.id, token.id)
      yield* Home.holds("it is cut", Effect.sync(() => own.end !== undefined))
      assert.strictEqual(own.end, "cut")
      assert.isUndefined(others.end)
      const { text: before } = others
      yield* Home.holds("the other goes on", Effect.sync(() => others.text.length > before.length))
    }), 1_200_000)

  it.scoped("lets the largest body and response pass", () =>
    Effect.gen(function*() {
      const { api } = yield* Scene
      const { value: token } = yield* mint
      const variable = { key: "large", value: "0123456789abcdef".repeat(size / 16) }
      const created = yield* Home.request(`${api}/variables`, { token, method: "POST", body: JSON.stringify(variable) })
      assert.include([200, 201], created.status, created.text.slice(0, 500))
      const { text } = yield* Home.request(`${api}/variables/large`, { token })
      assert.isTrue((JSON.parse(text) as typeof variable).value === variable.value)
      const removed = yield* Home.request(`${api}/variables/large`, { token, method: "DELETE" })
      assert.strictEqual(removed.status, 204)
    }), 1_200_000)

  it.scoped("is the only way in: Airflow's own port needs a secret, and only loopback has one", () =>
    Effect.gen(function*() {
      const { deployment, folder } = yield* Scene
      const { value: token } = yield* mint
      const own = deployment.uiUrl
      assert.notStrictEqual(own, deployment.airflowUrl)
      const api = `${own}/api/v${Home.major - 1}`
      const json = (body: object) => ({ method: "POST", body: JSON.stringify(body) })
      const attempts: ReadonlyArray<readonly [url: string, options: Home.Request]> = [
        [`${api}/dags`, {}],
        [`${api}/dags`, { token }],
        [`${api}/variables`, json({ key: "planted", value: "x" })],
        [`${api}/dags`, { headers: { authorization: `Basic ${Buffer.from("admin:admin").toString("base64")}` } }],
        ...isAirflow2 ? [] : [
          [`${own}/auth/token`, {}],
          [`${own}/auth/token`, json({ username: "admin", password: "admin" })],
          [`${own}/execution/variables/planted`, {}],
          [`${own}/execution/variables/planted`, { token }]
        ] as const
      ]
      for (const [url, options] of attempts) {
        const { status, text } = yield* Home.request(url, options)
        assert.include([401, 403], status, `${options.method ?? "GET"} ${url}: ${text.slice(0, 300)}`)
      }
      const listening = yield* listeners(yield* Home.processesOf(folder))
      assert.isAtLeast(listening.length, 2)
      assert.deepStrictEqual(
        // on a socket of IPv6, it is ::ffff:127.0.0.1
        listening.filter((address) => !/^(0000000000000000FFFF0000)?0100007F:/.test(address)),
        [],
        "others than loopback"
      )
    }))

  it.scoped("shows no secret in arguments, logs and files that others may read", () =>
    Effect.gen(function*() {
      const { folder } = yield* Scene
      const { value } = yield* mint
      const facts = Option.getOrThrow(DeploymentFolder.facts.read(folder))
      const { key } = Home.stateOf(folder)
      const tokenSecret = Redacted.value(value).split(".")[1] ?? ""
      const secrets = { password: facts.password, secret: facts.secret, fernetKey: facts.fernetKey, key, tokenSecret }
      for (const [name, secret] of Object.entries(secrets)) assert.isAtLeast(secret.length, 32, name)
      const inside = (text: string) =>
        Object.entries(secrets).flatMap(([name, secret]) => text.includes(secret) ? [name] : [])

      for (const { pid, title } of yield* Processes.list) assert.deepStrictEqual(inside(title), [], `argv of ${pid}`)
      const files = fs.readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile()).map(({ name, parentPath }) => path.join(parentPath, name))
      assert.isTrue(files.includes(DeploymentFolder.logOf(folder)))
      const found = new Set<string>()
      for (const file of files) {
        const names = inside(fs.readFileSync(file, "latin1"))
        for (const name of names) found.add(name)
        if (file.endsWith(".log")) assert.deepStrictEqual(names, [], file)
        if (names.length > 0) assert.strictEqual(fs.statSync(file).mode & 0o077, 0, `${file} has ${names.join(", ")}`)
      }
      assert.isFalse(found.has("tokenSecret"), "a token is on disk")
      assert.includeMembers([...found], ["password", "secret", "fernetKey", "key"])
      assert.strictEqual(fs.statSync(folder).mode & 0o077, 0)
    }))

  it.scoped("responds with 503 while Airflow is down, and asks to retry", () =>
    Effect.gen(function*() {
      const { api, folder } = yield* Scene
      const { value: token } = yield* mint
      yield* Home.kill(folder, Home.webserver)
      const { retryAfter } = yield* Home.until(
        Effect.filterOrFail(Home.request(`${api}/dags`, { token }), ({ status }) => status === 503)
      )
      assert.strictEqual(retryAfter, "1")
      yield* Home.holds(
        "it is up again",
        Effect.map(Home.request(`${api}/dags`, { token }), ({ status }) => status === 200)
      )
    }), 1_200_000)
})

/** The addresses on which processes listen, in hexadecimal as the kernel has them. */
const listeners = (processes: ReadonlyArray<Processes.Process>) =>
  Effect.sync(() => {
    // one may end meanwhile
    const unlessEnded = <A>(read: () => ReadonlyArray<A>) => {
      try {
        return read()
      } catch {
        return []
      }
    }
    const sockets = new Set(processes.flatMap(({ pid }) =>
      unlessEnded(() => fs.readdirSync(`/proc/${pid}/fd`)).flatMap((name) =>
        unlessEnded(() => /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`/proc/${pid}/fd/${name}`))?.slice(1) ?? [])
      )
    ))
    return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) =>
      fs.readFileSync(table, "utf8").trim().split("\n").slice(1).flatMap((line) => {
        const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/)
        return state === "0A" && sockets.has(inode) ? [local] : []
      })
    )
  })
