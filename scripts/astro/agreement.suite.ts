/** Compares the library and our recordings with recordings of real programs and another server (`ASTRO_RECORDINGS`). */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { type Invocation, meaning, type Recording } from "../../packages/astro/test/recording.js"

interface Theirs {
  readonly name: string
  readonly argv: ReadonlyArray<string>
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  readonly http: ReadonlyArray<{
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly requestBody: unknown
    readonly status: number | null
  }>
}

const folder = process.env.ASTRO_RECORDINGS ?? ""

const theirs = new Map(
  readdirSync(folder).filter((file) => file.endsWith(".jsonl")).map((file) => {
    const lines = readFileSync(join(folder, file), "utf8").trim().split("\n")
    const records = lines.map((line): Theirs => JSON.parse(line))
    return [file.replace(".jsonl", ""), new Map(records.map((record) => [record.name, record]))] as const
  })
)

/** Meanings that do not follow from exit code and status. */
const outcomes: ReadonlyArray<readonly [name: RegExp, means: string]> = [
  [/^dev-init-again-closed-stdin$|^deploy-dags-(no-force-dirty-git|wrong-workspace|empty-closed-stdin)$/, "refused"],
  [/^api-cloud-dropped$|^fault-dropped-api-cloud$|^refused-api-cloud$/, "unreachable"],
  [/^api-cloud-33s$/, "timeout"],
  [/^api-cloud-empty-token/, "notLoggedIn"],
  // no request, or one without a path
  [/^api-cloud-(generate|input-missing-file)$|-ls(-offline)?$|operation-id-offline$/, "unexpected"]
]

const expected = (version: string, { argv, exitCode, http, name }: Theirs): string => {
  const found = outcomes.find(([pattern]) => pattern.test(name))
  if (found !== undefined) return found[1]
  if (argv[0] === "version") return version
  if (argv[0] === "api") return `${http.at(-1)?.status}`
  if (exitCode === 2) return "crashed"
  // versions before 1.43 report it differently; the library does not deploy with them
  if (name === "deploy-dags-upload-500" && version === "1.45.0") return "unreachable"
  if (exitCode === 1) return "unexpected"
  return argv[0] === "dev" ? "true" : "2026-08-01T12:00:00.0000001Z"
}

/** Adds the response's head, which the library always requests. */
const withHead = ({ argv, http, name, stdout }: Theirs) =>
  argv[0] !== "api" || argv.includes("-i") || outcomes.some(([pattern]) => pattern.test(name))
    ? stdout
    : stdout.replace(/^(Using an Astro API Token\n)?/, `$1HTTP/1.1 ${http.at(-1)?.status} Words\n\n`)

const isOurs = ({ argv }: Theirs) => /^(version|deploy |dev init|api cloud)/.test(argv.join(" "))

describe("the library reads", () => {
  for (const [version, records] of theirs) {
    const calls = [...records.values()].filter(isOurs)
    it(`${version} in ${calls.length} calls`, () => {
      assert.deepStrictEqual(
        calls.map((call) => [call.name, meaning(call.argv, { ...call, stdout: withHead(call) })]),
        calls.map((call) => [call.name, expected(version, call)])
      )
      assert.isAbove(calls.length, 20)
    })
  }
})

/** Our step, and the recording of theirs that corresponds to it. */
const pairs: Readonly<Record<string, string>> = {
  "tells its version": "version",
  "makes a project for Airflow 2": "dev-init-airflow2",
  "makes a project for Airflow 3": "dev-init-airflow3",
  "in a folder that is not empty": "dev-init-again-closed-stdin",
  "of a name that will not do": "dev-init-bad-name",
  "of a runtime that will not do": "dev-init-unknown-runtime",
  "creates a deployment": "api-cloud-post-create",
  "creates one of a name that is taken": "api-cloud-post-duplicate",
  "lists deployments": "api-cloud-list-deployments",
  "hibernates it": "api-cloud-fields",
  "makes a token": "api-cloud-token-create",
  "deletes what is not there": "api-cloud-404",
  "429": "api-cloud-429-include",
  "429 of a gateway": "fault-429-text-api-cloud",
  "500": "fault-500-api-cloud",
  "502 of a gateway": "api-cloud-502-html",
  "503 without a body": "fault-503-empty-api-cloud",
  "200 of a gateway": "fault-200-html-api-cloud",
  "200 with half of it": "fault-200-bad-json-api-cloud",
  "202": "fault-202-api-cloud",
  "a request that is lost": "api-cloud-dropped",
  "no server": "refused-api-cloud",
  "no token": "api-cloud-empty-token-no-auth-config",
  "deploys": "deploy-dags",
  "from another workspace": "deploy-dags-wrong-workspace",
  "to one that takes no DAGs": "deploy-dags-disabled",
  "an upload that fails": "deploy-dags-upload-500",
  "an upload without a version": "deploy-dags-upload-no-version-header",
  "to one that hibernates": "deploy-dags-hibernating"
}

const ours = new URL("../../packages/astro/test/recordings/", import.meta.url)

describe("our recordings agree with those of", () => {
  const complete = theirs.get("1.45.0")
  it("contains every recording to compare with", () => {
    assert.deepStrictEqual(Object.values(pairs).filter((name) => complete?.has(name) !== true), [])
  })
  for (const file of readdirSync(ours)) {
    const { astro, scenes }: Recording = JSON.parse(readFileSync(new URL(file, ours), "utf8"))
    for (const [title, invocations] of Object.entries(scenes)) {
      it(`${astro}: ${title}`, () => {
        const compared = invocations.flatMap((invocation) => {
          const name = pairs[invocation.step] ?? ""
          // for older versions only the differences were recorded
          const other = theirs.get(astro)?.get(name) ?? complete?.get(name)
          return other === undefined || other.argv[0] !== invocation.args[0] ? [] : [{ name, invocation, other }]
        })
        assert.deepStrictEqual(
          compared.map(({ invocation: { args, requests, ...printed }, name }) => ({
            name,
            ...formOf(args, printed),
            requests: requests.map(({ target, ...request }) => requestOf(args, { ...request, path: target }))
          })),
          compared.map(({ name, other: { argv, http, ...printed } }) => ({
            name,
            ...formOf(argv, printed),
            requests: http.filter(({ path }) => !path.endsWith("/auth-config")).map((
              { requestBody: body, ...request }
            ) => requestOf(argv, { ...request, body }))
          }))
        )
      })
    }
  }
})

const formOf = (
  [command]: ReadonlyArray<string>,
  { exitCode, stderr, stdout }: Pick<Invocation, "exitCode" | "stderr" | "stdout">
) => ({ exitCode, stdout: command === "api" ? bodyOf(stdout) : plain(stdout), stderr: plain(stderr) })

/** Replaces places, times and ids. Deletes what concerns a git repository, because only theirs were made in one. */
const plain = (text: string) =>
  text
    .replace("Local repository has uncommitted changes, skipping Git metadata retrieval\n", "")
    .replace(/^(Usage:|\[signal |goroutine |…)[^]*$/m, "…")
    .replace(/https?:\/\/[^\s"]+/g, "URL")
    .replace(/dial tcp \S+/, "dial tcp HOST")
    .replace(/\$PROJECT\/\w+/g, "FOLDER")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/(Deployed Image Tag: ) \S+/, "$1 TAG")
    .replace(/(Airflow UI: )\S+/, "$1URL")
    .replace(/\b(WORKSPACE|ORGANIZATION|ID\d+|c[a-z0-9]{24})\b/g, "ID")
    .replace(/(-{80}\n)(?!RESPONSE)[^-].*\n/, "$1BODY\n")

/** "JSON" if it is JSON as Go prints it, because the two servers' responses differ. */
const bodyOf = (stdout: string) => {
  const text = stdout.replace(/^HTTP\/1\.1 [^]*?\n\n/, "")
  try {
    const lines = `${JSON.stringify(sorted(JSON.parse(text)), null, 2)}\n`
    return lines === text.replace(/\\u202[89]/g, (escaped) => JSON.parse(`"${escaped}"`)) ? "JSON" : text
  } catch {
    return text.replace(/^<html>[^]*<\/html>\s*$/, "HTML").replace(/^\{"[^]*$/, "a part of JSON").replace(
      /^[\w ]+$/,
      "words"
    )
  }
}

const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, one]) => [key, sorted(one)])
    )
    : value

/** Method, path and body for a deploy only: for other commands the library chooses them, not the program. */
const requestOf = ([command]: ReadonlyArray<string>, { body, headers, method, path }: {
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
  readonly method: string
  readonly path: string
}) => ({
  headers: ["accept", "content-type", "x-ms-blob-type"].map((name) => headers[name]),
  ...(command === "deploy"
    ? {
      method,
      path: plain(path).replace(/\?.*$/, "").replace(/^.*\/blobs?\//, "/blobs/"),
      body: /^(a tar\.gz|<\d+ bytes, first 1f8b>)/.test(`${body}`)
        ? "a tar.gz"
        : plain(typeof body === "string" ? body : body === null ? "" : JSON.stringify(body))
    }
    : {})
})
