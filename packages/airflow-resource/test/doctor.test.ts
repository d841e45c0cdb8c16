import { AstroPrerequisites } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { FetchHttpClient, HttpClient } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { AirflowResources } from "airflow-resource"
import Database from "better-sqlite3"
import { Clock, Config, Duration, Effect, Fiber, Layer, Option, Redacted, type Scope, TestClock } from "effect"
import * as fs from "node:fs"
import * as StandIn from "../../astro/test/StandIn.js"
import * as DagFolder from "../src/internal/delivery/astro.js"
import * as Github from "../src/internal/delivery/secrets.js"
import * as Checks from "../src/internal/doctor/checks.js"
import * as Doctor from "../src/internal/doctor/doctor.js"
import * as Verdict from "../src/internal/doctor/verdict.js"
import * as Astro from "../src/internal/provider/astroChecks.js"
import * as Local from "../src/internal/provider/localChecks.js"
import { folder, project, start } from "./child.js"

const services = Layer.mergeAll(FetchHttpClient.layer, NodeContext.layer, ProcessRunner.layer)

const test = (
  title: string,
  body: () => Effect.Effect<void, unknown, Scope.Scope | Layer.Layer.Success<typeof services>>
) => it.scopedLive(title, () => Effect.provide(body(), services), 300_000)

const is = (verdict: Verdict.Verdict, state: Verdict.Verdict["state"], says: RegExp, remedy?: RegExp) => {
  assert.strictEqual(verdict.state, state, verdict.says)
  assert.match(verdict.says, says)
  if (remedy === undefined) assert.isNull(verdict.remedy)
  else assert.match(verdict.remedy ?? "", remedy)
}

const spec = { runtimeVersion: "13.1.0", cloudProvider: "aws", region: "us-east-1" } as const

/** An emulated Astro, and its account. */
const world = (options: Emulator.Options = {}) =>
  Effect.map(Emulator.make({ speed: 1000, ...options }), (emulator) => ({
    emulator,
    id: emulator.organizationId,
    account: {
      apiUrl: emulator.astroApiUrl,
      token: emulator.astroToken,
      workspaceId: emulator.workspaceId,
      organizationId: Option.none<string>()
    }
  }))

describe("doctor checks this machine:", () => {
  it("node", () => {
    is(Checks.node(process.versions.node), "pass", /^\d+\.\d+\.\d+$/)
    for (const version of ["20.19.0", "22.0.1", "100.0.0"]) assert.strictEqual(Checks.node(version).state, "pass")
    for (const version of ["20.18.3", "18.20.8", "9.9.9"]) {
      is(Checks.node(version), "fail", /20\.19 or newer is needed/, /Update/)
    }
  })

  it("configuration", () => {
    is(Checks.configuration([]), "pass", /complete/)
    const problems = [
      { variable: "ASTRO_REGION", problem: "is missing", meaning: "the region" },
      { variable: "AIRFLOW_RESOURCE_MAX", problem: "is invalid: 0", meaning: "how many" }
    ]
    is(
      Checks.configuration(problems),
      "fail",
      /^ASTRO_REGION is missing; AIRFLOW_RESOURCE_MAX is invalid: 0$/,
      /\.env.*\nASTRO_REGION: the region\nAIRFLOW_RESOURCE_MAX: how many\nWithout an account [^]*PROVIDER=local [^]*PROVIDER=emulator .*$/
    )
    // an account does not help here
    is(Checks.configuration(problems.slice(1)), "fail", /MAX is invalid/, /AIRFLOW_RESOURCE_MAX: how many$/)
  })

  test("project and DAGs", () =>
    Effect.gen(function*() {
      const root = yield* folder
      is(
        yield* Checks.project(Option.none()),
        "warn",
        /no \.git and no package\.json/,
        /Run the command inside the project/
      )
      is(yield* Checks.project(Option.some(root)), "pass", new RegExp(`^${root}$`))
      fs.writeFileSync(`${root}/.env`, "")
      is(yield* Checks.project(Option.some(root)), "pass", /with a \.env$/)
      is(yield* DagFolder.check(root), "pass", new RegExp(root))
      is(yield* DagFolder.check(`${root}/.env`), "fail", /there is no folder .*env$/, /AIRFLOW_DAG_PATH/)
      is(yield* DagFolder.check(`${root}/dags`), "fail", /there is no folder .*dags$/, /AIRFLOW_DAG_PATH/)
    }))

  test("cache, without creating it", () =>
    Effect.gen(function*() {
      const root = yield* folder
      const path = `${root}/deep/cache.db`
      is(yield* Checks.cache(path), "pass", /the first lease creates it/)
      assert.deepStrictEqual(fs.readdirSync(root), [])
      const file = `${root}/cache.db`
      const db = new Database(file)
      db.exec("CREATE TABLE deployments (id TEXT)")
      db.close()
      is(yield* Checks.cache(file), "fail", /another program/, /Nothing was touched/)
      is(yield* Checks.cache(`${file}/cache.db`), "fail", /is not a folder/, /AIRFLOW_RESOURCE_CACHE/)
    }))

  test("clock, by the dates of Astro's responses", () =>
    Effect.gen(function*() {
      const ahead = (seconds: number) => Astro.clock(Option.some(seconds * 1000))
      is(Astro.clock(Option.none()), "skip", /^not checked: no response/)
      for (const seconds of [0, -0.9, 4.4]) is(ahead(seconds), "pass", /agrees/)
      is(ahead(5), "warn", /5s ahead of Astro's/, /clock/)
      is(ahead(-59), "warn", /59s behind Astro's/, /clock/)
      is(ahead(-3600), "fail", /1h behind/, /NTP/)

      const { account, emulator } = yield* world()
      const clock = Astro.watchClock(yield* HttpClient.HttpClient)
      const check = Astro.organization(
        Effect.provideService(AstroPrerequisites.organization(account), HttpClient.HttpClient, clock.http)
      )
      assert.isTrue(Option.isNone(yield* clock.ahead))
      is(yield* check, "pass", /active/)
      is(Astro.clock(yield* clock.ahead), "pass", /agrees/)

      const late = Astro.watchClock(yield* HttpClient.HttpClient)
      const date = new Date((yield* Clock.currentTimeMillis) + 7_200_000).toUTCString()
      yield* emulator.faults.next({ match: {}, then: { _tag: "Status", status: 403, headers: { date }, body: {} } })
      yield* Effect.exit(
        Effect.provideService(AstroPrerequisites.organization(account), HttpClient.HttpClient, late.http)
      )
      is(Astro.clock(yield* late.ahead), "fail", /^2h behind/, /NTP/)
    }))
})

describe("doctor checks what a local Airflow needs:", () => {
  /** A machine with Python 3.11, and perhaps with a uv that prints this when it is asked for packages. */
  const machine = (uv: { readonly exitCode: number; readonly stderr: string } | undefined) =>
    Layer.succeed(
      ProcessRunner.ProcessRunner,
      ProcessRunner.ProcessRunner.of({
        run: ({ args, command }) => {
          const ended = { exitCode: 0, signal: null, stdout: "", stderr: "", isCut: false }
          if (args[0] === "-c") return Effect.succeed({ ...ended, stdout: "3.11\n/opt/python3.11\n" })
          if (uv === undefined) {
            return new ProcessRunner.ProcessError({ kind: "notFound", command, detail: "not found", remedy: "-" })
          }
          if (args[0] === "--version") return Effect.succeed(ended)
          assert.deepStrictEqual([command, args.slice(0, 3)], ["uv", ["pip", "compile", "-"]])
          return Effect.succeed({ ...ended, ...uv })
        }
      })
    )

  const verdict = (
    root: string,
    name: string,
    uv?: { readonly exitCode: number; readonly stderr: string }
  ) => {
    const check = Local.checks(Config.succeed({
      _tag: "Local",
      home: `${root}/home`,
      idle: "15 minutes",
      python: Option.none(),
      version: Option.none(),
      runtime: Option.none(),
      database: Option.none(),
      allowBroken: false,
      root,
      cache: `${root}/cache.db`,
      variables: {}
    }))[name]
    assert.isDefined(check)
    return Effect.provide(check!, machine(uv))
  }

  test("what is installed with it, without installing it", () =>
    Effect.gen(function*() {
      const root = yield* folder
      const airflow = (stderr?: string) =>
        verdict(
          root,
          "Airflow",
          stderr === undefined ? undefined : { exitCode: stderr === "" ? 0 : 1, stderr }
        )
      is(yield* airflow(), "pass", /^3\.3\.2 for python3\.11; the first lease installs it, .*without uv, that was not/)
      is(yield* airflow(""), "pass", /the first lease installs it$/)
      is(yield* airflow("error sending request for url"), "fail", /request/, /check the network and the proxy/)
      is(
        yield* airflow("there is no version of apache-airflow==3.3.2"),
        "fail",
        /the package index has no apache-airflow==3\.3\.2/,
        /AIRFLOW_RESOURCE_AIRFLOW_VERSION/
      )
      fs.writeFileSync(`${root}/requirements.txt`, "flask<1\n")
      is(yield* airflow("you require flask<1"), "fail", /flask<1/, /Change requirements\.txt/)
      assert.isFalse(fs.existsSync(`${root}/home`))
    }))

  test("airflow_settings.yaml", () =>
    Effect.gen(function*() {
      const root = yield* folder
      is(yield* verdict(root, "settings"), "pass", /0 connections/)
      fs.writeFileSync(`${root}/airflow_settings.yaml`, "airflow: { pools: [{ pool_name: a, pool_slot: 1 }] }")
      is(yield* verdict(root, "settings"), "pass", /0 connections, 0 variables, 1 pools/)
      fs.writeFileSync(`${root}/airflow_settings.yaml`, "airflow: 1")
      is(yield* verdict(root, "settings"), "fail", /airflow \(line 1\) has the wrong form/, /Correct it/)
    }))

  test("memory", () =>
    Effect.gen(function*() {
      const root = yield* folder
      is(yield* verdict(root, "memory"), "pass", /GiB are free/)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const { availableMemory } = process
          process.availableMemory = () => 1024 ** 3 - 1
          return availableMemory
        }),
        (availableMemory) => Effect.sync(() => void (process.availableMemory = availableMemory))
      )

      is(yield* verdict(root, "memory"), "fail", /1\.0 GiB are free, and each local Airflow needs 1 GiB/, /End other/)
    }))
})

describe("doctor checks the astro CLI:", () => {
  const check = (program: { readonly mood?: string; readonly version?: string }, deploys = false) =>
    Effect.gen(function*() {
      const { account } = yield* world()
      const { bin } = yield* StandIn.make(program)
      return yield* Astro.cli(account, { bin, deploys, sends: true })
    })

  test("one that can be used", () =>
    Effect.gen(function*() {
      is(yield* check({ version: "1.45.0" }, true), "pass", /version 1\.45\.0; it reaches Astro$/)
      is(yield* check({ version: "1.40.1" }), "pass", /version 1\.40\.1/)
      const { account } = yield* world()
      const { bin, calls } = yield* StandIn.make()
      const unsent = yield* Astro.cli(account, { bin, deploys: false, sends: false })
      is(unsent, "pass", /version 1\.45\.0$/)
      assert.deepStrictEqual((yield* calls).map(({ argv }) => argv), [["version"]])
    }))

  test("one that is missing, too old, another program, or hangs", () =>
    Effect.gen(function*() {
      const { account } = yield* world()
      const missing = yield* Astro.cli(account, { bin: "/nowhere/astro", deploys: false, sends: true })
      is(missing, "fail", /there is no \/nowhere\/astro/, /Install it/)
      yield* Effect.forEach(
        [
          [{ version: "1.38.1" }, false, /is version 1\.38\.1, but 1\.40 or newer is needed/, /Update it/],
          [{ version: "1.42.0" }, true, /deploying DAGs needs 1\.43 or newer/, /Update it/],
          [{ mood: "other" }, false, /is not Astronomer's/, /ASTRO_BIN/],
          [{ mood: "hangsAtVersion" }, false, /was still running after 10s/, /AIRFLOW_RESOURCE_PROVIDER=api/],
          [{ mood: "hangs" }, false, /was still running after 10s/, /AIRFLOW_RESOURCE_PROVIDER=api/],
          [{ mood: "cancels" }, false, /gave up \(Canceling/, /./]
        ] as const,
        ([program, deploys, says, remedy]) =>
          Effect.map(check(program, deploys), (verdict) => is(verdict, "fail", says, remedy)),
        { concurrency: "unbounded" }
      )
      const gone = { ...account, apiUrl: "http://127.0.0.1:1" }
      const { bin } = yield* StandIn.make()
      is(yield* Astro.cli(gone, { bin, deploys: false, sends: true }), "fail", /could not reach Astro's API/, /network/)
    }))
})

describe("doctor checks Astro:", () => {
  it.effect("credentials", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("500 days")
      const now = yield* Clock.currentTimeMillis
      const jwt = (payload: object) =>
        Redacted.make(`e30.${Buffer.from(JSON.stringify(payload)).toString("base64url")}.s`)
      const check = (payload: object) => Astro.credentials(jwt(payload), Duration.minutes(75))
      const inMinutes = (minutes: number) => ({ exp: now / 1000 + minutes * 60 })
      is(yield* check(inMinutes(76)), "pass", /^a user's token, valid until 1971-05-16T01:16:00/)
      is(yield* check(inMinutes(75)), "warn", /possibly before a lease ends/, /Get a new one/)
      is(yield* check(inMinutes(0)), "fail", /that expired at/, /Get a new one/)
      is(yield* check({ permissions: ["apiTokenId:t", "workspaceId:w"] }), "pass", /^a Workspace API token$/)
      is(yield* Astro.credentials(Redacted.make("opaque"), Duration.zero), "pass", /of unknown kind/)
      is(
        yield* Astro.credentials(Redacted.make("eyJhbGciOiJSUzI1NiJ9.eyJleHAi"), Duration.zero),
        "fail",
        /only a part of a token/,
        /completely/
      )
    }))

  test("rights", () =>
    Effect.gen(function*() {
      const { account, emulator, id } = yield* world()
      const check = (
        rights: "owner" | "operator" | "member",
        fence: "auto" | "on" | "off" = "auto"
      ) =>
        Effect.flatMap(emulator.mintAstroToken({ rights }), (token) => Astro.rights({ ...account, token }, id, fence))
      is(yield* check("owner"), "pass", /WORKSPACE_OWNER: leases are fenced/)
      is(yield* check("owner", "on"), "pass", /fenced/)
      is(yield* check("owner", "off"), "warn", /unfenced/, /Unset AIRFLOW_RESOURCE_FENCE/)
      is(yield* check("operator"), "warn", /unfenced/, /Workspace Owner rights/)
      is(yield* check("operator", "off"), "warn", /unfenced/, /Workspace Owner rights/)
      is(yield* check("operator", "on"), "fail", /AIRFLOW_RESOURCE_FENCE=on/, /Workspace Owner rights/)
      is(yield* check("member"), "fail", /cannot create deployments/, /Workspace Owner rights/)
      const opaque = { ...account, token: Redacted.make("opaque") }
      is(
        yield* Astro.rights(opaque, id, "auto"),
        "warn",
        /reports no workspace role/,
        /Access Management/
      )
      const expired = { ...account, token: yield* emulator.mintAstroToken({ expiresIn: 0 }) }
      is(yield* Astro.rights(expired, id, "auto"), "fail", /./, /token/)
    }))

  test("organization and workspace", () =>
    Effect.gen(function*() {
      const { account, id } = yield* world()
      const organization = (of: typeof account) => Astro.organization(AstroPrerequisites.organization(of))
      is(yield* organization(account), "pass", /active/)
      is(
        yield* organization({ ...account, organizationId: Option.some("corg") }),
        "fail",
        /does not see the organization corg/,
        /token of the organization/
      )
      is(yield* organization({ ...account, token: Redacted.make("x") }), "fail", /token/i, /ASTRO_ACCESS_TOKEN/)
      for (const state of ["SUSPENDED", "INACTIVE"] as const) {
        const other = yield* world({ organization: state })
        is(yield* organization(other.account), "fail", new RegExp(state, "i"), /support/)
      }
      const invisible = yield* world({ organization: "INVISIBLE" })
      is(yield* organization(invisible.account), "fail", /sees no organization/, /token of the organization/)

      is(yield* Astro.workspace(account, id), "pass", new RegExp(account.workspaceId))
      is(
        yield* Astro.workspace({ ...account, workspaceId: "cws" }, id),
        "fail",
        new RegExp(`does not see the workspace cws; it belongs to ${account.workspaceId}`),
        /ASTRO_WORKSPACE_ID/
      )
      is(yield* Astro.workspace({ ...account, token: Redacted.make("x") }, id), "fail", /token/i, /ASTRO_ACCESS_TOKEN/)
    }))

  test("runtime and region", () =>
    Effect.gen(function*() {
      const { account, emulator, id } = yield* world()
      is(yield* Astro.runtime(account, id, spec), "pass", /^13\.1\.0$/)
      is(
        yield* Astro.runtime(account, id, { ...spec, runtimeVersion: "99.0.0" }),
        "fail",
        /does not offer 99\.0\.0/,
        /ASTRO_RUNTIME_VERSION.*13\.1\.0/
      )
      is(yield* Astro.region(account, id, spec), "pass", /^aws us-east-1$/)
      is(
        yield* Astro.region(account, id, { ...spec, region: "us-central1" }),
        "fail",
        /does not offer aws us-central1/,
        /ASTRO_REGION.* aws: us-east-1, us-west-2/
      )
      const narrow = yield* world({ regions: [{ provider: "AWS", name: "us-east-1" }] })
      is(
        yield* Astro.region(narrow.account, narrow.id, { ...spec, cloudProvider: "gcp" }),
        "fail",
        /gcp us-east-1/,
        /ASTRO_CLOUD_PROVIDER/
      )
      for (const check of [Astro.runtime, Astro.region]) {
        const body = { message: "Insufficient permissions" }
        yield* emulator.faults.next({ match: {}, then: { _tag: "Status", status: 403, body } })
        is(yield* check(account, id, spec), "warn", /cannot list.*Insufficient/, /Try a lease/)
      }
    }))
})

describe("doctor checks GitHub:", () => {
  test("repository and token", () =>
    Effect.gen(function*() {
      const { emulator } = yield* world()
      const check = (
        token: Redacted.Redacted,
        repository = emulator.repository,
        apiUrl: string | undefined = emulator.githubApiUrl
      ) => Github.check({ token, repository, apiUrl: Option.fromNullable(apiUrl) })
      is(yield* check(emulator.githubToken), "pass", /^example\/dags; the token can write its secrets$/)
      is(yield* check(yield* emulator.mintGithubToken("read")), "fail", /only read/, /write access/)
      is(yield* check(yield* emulator.mintGithubToken("none")), "fail", /404/, /AIRFLOW_REPO/)
      is(yield* check(Redacted.make("wrong")), "fail", /credentials/i, /AIRFLOW_GITHUB_TOKEN/)
      is(yield* check(emulator.githubToken, "no repository"), "fail", /space/, /Write it like/)
      is(
        yield* check(emulator.githubToken, "https://github.example.com/a/b", ""),
        "fail",
        /GITHUB_API_URL/,
        /GITHUB_API_URL/
      )
    }))
})

describe("doctor", () => {
  const lines: ReadonlyArray<Doctor.Line> = [
    { check: "node", ...Verdict.pass("22.1.0") },
    { check: "configuration", state: "fail", says: "two\nlines\u001b[2J", remedy: "Do this:\nand that" },
    { check: "clock", state: "warn", says: "late", remedy: "wind it" },
    { check: "GitHub", ...Verdict.skip("not needed") }
  ]

  it.effect("prints the verdicts, and succeeds unless a check failed", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        Doctor.render(lines),
        [
          "pass  node           22.1.0",
          "fail  configuration  two lines [2J",
          "                     → Do this:",
          "                       and that",
          "warn  clock          late",
          "                     → wind it",
          "skip  GitHub         not needed"
        ].join("\n")
      )
      assert.deepStrictEqual(Doctor.report(lines), { ready: false, checks: lines })
      assert.deepStrictEqual((yield* Effect.flip(Doctor.judge(lines))).failed, ["configuration"])
      const content = lines.filter(({ state }) => state !== "fail")
      assert.isTrue(Doctor.report(content).ready)
      yield* Doctor.judge(content)
    }))

  it.effect("runs all checks at once, each with a timeout", () =>
    Effect.gen(function*() {
      const slow = yield* Effect.fork(Doctor.run({
        never: Effect.never,
        node: Effect.succeed(Verdict.pass("22.1.0"))
      }))
      yield* TestClock.adjust("20 seconds")
      const [never, node] = yield* Fiber.join(slow)
      assert.deepInclude(never, { check: "never", state: "fail", says: "no response within 20s" })
      assert.deepInclude(node, { check: "node", state: "pass" })
    }))

  /** A project, and the command in it. */
  const command = (env: Readonly<Record<string, string>>) =>
    Effect.gen(function*() {
      const cwd = yield* project
      const run = (more: Record<string, string>, ...args: ReadonlyArray<string>) =>
        Effect.flatMap(start("../src/main.ts", ["doctor", ...args], { ...env, ...more }, cwd), ({ ended }) => ended)
      return { cwd, run }
    })
  const states = (text: string): Record<string, string> =>
    Object.fromEntries(JSON.parse(text).checks.map(({ check, state }: Doctor.Line) => [check, state]))

  test("changes nothing, prints no secret, and exits by what it found", () =>
    Effect.gen(function*() {
      const { emulator } = yield* world()
      const { cwd, run } = yield* command({
        ...AirflowResources.variablesOf(emulator),
        AIRFLOW_PASSWORD: "canary-71e0"
      })
      const shown: Array<string> = []
      const record = (...args: Parameters<typeof run>) =>
        Effect.tap(run(...args), ({ stderr, stdout }) => Effect.sync(() => shown.push(stdout, stderr)))

      const complete = yield* record({}, "--json")
      assert.deepInclude(complete, { code: 0, stderr: "" })
      const onAstro = ["credentials", "organization", "workspace", "rights", "runtime", "region", "clock", "GitHub"]
      assert.deepStrictEqual(
        states(complete.stdout),
        Object.fromEntries([
          ...["node", "configuration", "project", "cache", "reaper"].map((check) => [check, "pass"]),
          ["astro CLI", "skip"],
          ...onAstro.map((check) => [check, "pass"])
        ])
      )
      assert.isTrue(JSON.parse(complete.stdout).ready)

      const other = Redacted.value(yield* emulator.mintAstroToken({ expiresIn: 0 }))
      const otherDelivery = yield* record(
        {
          AIRFLOW_RESOURCE_DELIVERY: "astro",
          AIRFLOW_RESOURCE_FENCE: "off",
          AIRFLOW_REPO: "",
          AIRFLOW_GITHUB_TOKEN: "",
          ASTRO_API_TOKEN: other
        },
        "--json"
      )
      assert.deepInclude(states(otherDelivery.stdout), {
        configuration: "pass",
        DAGs: "fail",
        credentials: "pass",
        ASTRO_API_TOKEN: "fail",
        rights: "warn",
        GitHub: "skip"
      })
      assert.strictEqual(otherDelivery.code, 1)

      const incomplete = yield* record({ ASTRO_WORKSPACE_ID: "", ASTRO_REGION: "mars", AIRFLOW_REPO: "a/b/c" })
      assert.strictEqual(incomplete.code, 1)
      assert.match(incomplete.stderr, /^Not ready for a lease: configuration, region, GitHub\.$/m)
      assert.match(incomplete.stdout, /^fail  configuration  ASTRO_WORKSPACE_ID is missing$/m)
      assert.match(incomplete.stdout, /^pass  organization /m)
      assert.match(incomplete.stdout, /^skip  workspace +not checked without ASTRO_WORKSPACE_ID$/m)
      assert.notMatch(incomplete.stderr, /^\s+at /m)

      assert.deepStrictEqual(fs.readdirSync(cwd), [".git"])
      const { deployments, issued, requests } = yield* emulator.audit
      assert.deepStrictEqual({ deployments, issued }, { deployments: [], issued: [] })
      assert.deepStrictEqual([...new Set(requests.map(({ method }) => method))], ["GET"])
      for (const secret of ["canary-71e0", ...[emulator.astroToken, emulator.githubToken].map(Redacted.value)]) {
        assert.notInclude(shown.join(), secret)
      }
    }))

  test("checks what it can without any configuration, and needs none for an emulator", () =>
    Effect.gen(function*() {
      const { cwd, run } = yield* command({})
      const unconfigured = yield* run({}, "--json")
      assert.strictEqual(unconfigured.code, 1)
      assert.match(unconfigured.stderr, /configuration, astro CLI/)
      const found = states(unconfigured.stdout)
      assert.deepInclude(found, { node: "pass", configuration: "fail", "astro CLI": "fail", cache: "pass" })
      for (const check of ["credentials", "workspace", "clock", "GitHub"]) assert.strictEqual(found[check], "skip")

      fs.mkdirSync(`${cwd}/.env`)
      const unreadable = yield* run({}, "--json")
      assert.deepStrictEqual(states(unreadable.stdout), { node: "pass", configuration: "fail" })
      assert.include(unreadable.stdout, "/.env cannot be read")
      fs.rmdirSync(`${cwd}/.env`)

      const emulated = yield* run({ AIRFLOW_RESOURCE_PROVIDER: "emulator" }, "--json")
      assert.strictEqual(emulated.code, 0)
      assert.deepStrictEqual(states(emulated.stdout), { node: "pass", configuration: "pass" })
    }))
})
