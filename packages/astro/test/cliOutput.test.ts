/** Output of real programs (1.40.1, 1.45.0), and how it is read. */
import { AstroCliVersion } from "@airflow-resource/astro"
import { assert, describe, it } from "@effect/vitest"
import * as CliOutput from "../src/internal/cliOutput.js"

const ended = (exitCode: number, stdout: string, stderr = "") => ({
  exitCode,
  signal: null,
  stdout,
  stderr,
  isCut: false
})

describe("the astro CLI's output", () => {
  const problems: ReadonlyArray<
    readonly [exitCode: number, stdout: string, stderr: string, kind: CliOutput.Problem["kind"], says: RegExp]
  > = [
    [
      0,
      "/p is not an empty directory. Are you sure you want to initialize a project here? (y/n) Canceling project initialization...\n",
      "",
      "refused",
      /Canceling project/
    ],
    [
      0,
      "Authenticated to localhost \n\nWarning: No DAGs found. This will delete any existing DAGs. Are you sure you want to deploy? (y/n) Canceling deploy...\n",
      "",
      "refused",
      /Canceling deploy/
    ],
    [
      0,
      "Project directory has uncommitted changes, use `astro deploy [deployment-id] -f` to force deploy.\n",
      "",
      "refused",
      /gave up/
    ],
    [
      0,
      "Authenticated to localhost \n\nInvalid workspace id cws was provided through the --workspace-id flag\n",
      "",
      "refused",
      /Invalid workspace id/
    ],
    [
      1,
      "Authenticated to localhost \n\nLocal repository has uncommitted changes, skipping Git metadata retrieval\n",
      "Error: Deploy is blocked because Deployment is in HIBERNATING state\n",
      "unexpected",
      /Deploy is blocked/
    ],
    [
      1,
      "Initiating DAG deploy for: c1\n",
      "Error: PUT http://127.0.0.1:1/blob/c1\n-----\nRESPONSE 500: 500 Internal Server Error\n",
      "unreachable",
      /could not be uploaded/
    ],
    [2, "Initiating DAG deploy for: c1\n", "panic: runtime error: invalid memory address\n", "crashed", /crashed/],
    [1, "", "Error: not authenticated. Run 'astro login' to authenticate\n", "notLoggedIn", /token/],
    [
      1,
      "",
      `Error: executing request: Get "http://127.0.0.1:1/v1/organizations": dial tcp 127.0.0.1:1: connect: connection refused\n`,
      "unreachable",
      /\(connection refused\)/
    ],
    [1, "", `Error: executing request: Get "http://127.0.0.1:1/v1/organizations": EOF\n`, "unreachable", /\(EOF\)/],
    [
      1,
      "",
      `Error: executing request: Get "http://127.0.0.1:1/v1/organizations": context deadline exceeded\n`,
      "timeout",
      /in time/
    ],
    [1, "", "Error: failed to perform request, status 502\n", "unreachable", /502/],
    [1, "", "Error: project name is invalid\n", "unexpected", /project name is invalid/],
    [0, "", "", "unexpected", /without a report of success/]
  ]
  for (const [exitCode, stdout, stderr, kind, says] of problems) {
    it(`${kind}: ${says}`, () => {
      assert.isUndefined(CliOutput.response(ended(exitCode, stdout, stderr)))
      assert.isFalse(CliOutput.isInitialized(stdout))
      assert.isUndefined(CliOutput.deployedVersion(stdout))
      const problem = CliOutput.problem(ended(exitCode, stdout, stderr), "the-token")
      assert.strictEqual(problem.kind, kind)
      assert.match(problem.detail, says)
      assert.isNotEmpty(problem.remedy)
    })
  }

  it("a response, in any version of HTTP", () => {
    const expected: CliOutput.Response = { status: 200, headers: [["Content-Type", "application/json"]], body: "{}\n" }
    for (const start of ["HTTP/1.1 200 OK", "HTTP/2.0 200 OK", "Using an Astro API Token\nHTTP/1.1 200 OK"]) {
      assert.deepEqual(CliOutput.response(ended(0, `${start}\nContent-Type: application/json\n\n{}\n`)), expected)
    }
    const limited = CliOutput.response(ended(1, "HTTP/1.1 429 Too Many Requests\nRetry-After: 2\n\n", "Error: …"))
    assert.deepEqual(limited, { status: 429, headers: [["Retry-After", "2"]], body: "" })
    assert.isUndefined(CliOutput.response(ended(2, "HTTP/1.1 200 OK\n\n{}", "panic: ")))
  })

  it("a version", () => {
    assert.strictEqual(CliOutput.version("Astro CLI Version: 1.45.0\n"), "1.45.0")
    assert.strictEqual(CliOutput.version("Astro CLI Version: v1.46.0-nightly.20260822\n"), "1.46.0-nightly.20260822")
    assert.strictEqual(CliOutput.version("Astro CLI Version: \n"), "")
    assert.isUndefined(CliOutput.version(" astro  v5.1.0 Build faster websites.\n"))
    const tooOld = ["0.9", "1.9.0", "1.39.9", "1.40.0-rc.1", "1.40.0", "1.45.0", "2.0.0", "SNAPSHOT-ed93cc59", ""]
      .map((version) => AstroCliVersion.isBefore(version, AstroCliVersion.minimum))
    assert.deepStrictEqual(tooOld, [true, true, true, false, false, false, false, false, false])
  })
})
