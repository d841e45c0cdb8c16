/** Every call of the astro CLI that the library makes, and what can go wrong. The names are keys in the recordings. */
import type { Emulator, Faults } from "@airflow-resource/emulator"
import { HttpClientRequest } from "@effect/platform"
import { Effect, type Redacted } from "effect"
import type { Scene, Stage, Step } from "./recording.js"

interface Ids {
  /** Path of the organization. */
  readonly organization: string
  readonly workspace: string
  /** Id of the first deployment. */
  readonly deployment: string
}
type PathOf = (ids: Ids) => string

const organizations: PathOf = () => "/organizations?limit=100"
const deployments: PathOf = ({ organization }) => `${organization}/deployments`
const tokens: PathOf = ({ organization }) => `${organization}/tokens`
const deployment: PathOf = (ids) => `${deployments(ids)}/${ids.deployment}`

const deploymentOf = ({ audit }: Emulator.Service) =>
  Effect.map(audit, ({ deployments }) => deployments[0]?.id ?? "none")

/** Sends a request as AstroApi does. */
const send = (
  method: "GET" | "POST" | "DELETE",
  path: PathOf,
  body?: (ids: Ids) => unknown,
  account: (stage: Stage) => Effect.Effect<Parameters<Stage["cli"]>[0]> = () => Effect.succeed({})
) =>
(stage: Stage) =>
  Effect.gen(function*() {
    const { emulator } = stage
    const ids: Ids = {
      organization: `/organizations/${emulator.organizationId}`,
      workspace: emulator.workspaceId,
      deployment: yield* deploymentOf(emulator)
    }
    const options = { apiUrl: stage.apiUrl, ...yield* account(stage) }
    const { httpClient } = yield* stage.cli(options)
    const request = HttpClientRequest.make(method)(`${options.apiUrl}/v1${path(ids)}`).pipe(
      HttpClientRequest.setHeader("x-api-version", "1.0"),
      HttpClientRequest.setHeader("x-astro-client-identifier", "airflow-resource")
    )
    yield* httpClient.execute(body === undefined ? request : HttpClientRequest.bodyUnsafeJson(request, body(ids)))
  })

/** A request to which the emulator responds with a fault. */
const faulty = (name: string, means: string, then: Faults.Outcome): Step => ({
  name,
  means,
  act: (stage) => Effect.zipRight(stage.emulator.faults.next({ match: {}, then }), send("GET", organizations)(stage))
})

const newDeployment = (changed: object) => ({ workspace }: Ids) => ({
  name: "one ü <1> & \u2028",
  description: "",
  workspaceId: workspace,
  type: "STANDARD",
  cloudProvider: "AWS",
  region: "us-east-1",
  astroRuntimeVersion: "13.1.0",
  isDevelopmentMode: true,
  environmentVariables: [{ key: "A", value: "1", isSecret: false }, { key: "B", value: "2", isSecret: true }],
  ...changed
})

const creates = (name: string, means: string, changed: object = {}): Step => ({
  name,
  means,
  act: send("POST", deployments, newDeployment(changed))
})
const hibernates: Step = {
  name: "hibernates it",
  means: "200",
  act: send("POST", (ids) => `${deployment(ids)}/hibernation-override`, () => ({ isHibernating: true }))
}

const requests: Scene = {
  title: "requests",
  steps: [
    { name: "finds the organization", means: "200", act: send("GET", organizations) },
    {
      name: "finds the workspace",
      means: "200",
      act: send("GET", ({ organization, workspace }) => `${organization}/workspaces/${workspace}`)
    },
    creates("creates a deployment", "200"),
    creates("creates one of a name that is taken", "400"),
    creates("creates one of an unknown runtime", "400", { name: "two", astroRuntimeVersion: "99.9.9" }),
    {
      name: "lists deployments",
      means: "200",
      act: send("GET", (ids) => `${deployments(ids)}?workspaceIds=${ids.workspace}&limit=1000&offset=0`)
    },
    { name: "reads a deployment", means: "200", act: send("GET", deployment) },
    hibernates,
    {
      name: "makes a token",
      means: "200",
      act: send("POST", tokens, ({ deployment }) => ({
        name: "lease",
        description: "",
        role: "DEPLOYMENT_ADMIN",
        scope: "DEPLOYMENT",
        entityId: deployment,
        tokenExpiryPeriodInDays: 1
      }))
    },
    {
      name: "lists tokens",
      means: "200",
      act: send("GET", (ids) => `${tokens(ids)}?deploymentId=${ids.deployment}&limit=1000&offset=0`)
    },
    {
      name: "deletes a token",
      means: "204",
      act: (stage) =>
        Effect.flatMap(
          stage.emulator.audit,
          ({ tokens: [token] }) => send("DELETE", (ids) => `${tokens(ids)}/${token?.id}`)(stage)
        )
    },
    { name: "deletes a deployment", means: "204", act: send("DELETE", deployment) },
    { name: "deletes what is not there", means: "404", act: send("DELETE", deployment) },
    {
      name: "asks with an expired token",
      means: "401",
      act: send(
        "GET",
        organizations,
        undefined,
        ({ emulator }) => Effect.map(emulator.mintAstroToken({ expiresIn: 0 }), (token) => ({ token }))
      )
    },
    {
      name: "asks for what the token may not do",
      means: "403",
      act: send(
        "POST",
        tokens,
        () => ({ name: "lease" }),
        ({ emulator }) => Effect.map(emulator.mintAstroToken({ rights: "operator" }), (token) => ({ token }))
      )
    }
  ]
}

const trouble: Scene = {
  title: "trouble",
  steps: [
    faulty("429", "429", {
      _tag: "Status",
      status: 429,
      body: { message: "slow ü", "\u2029<&>": [1, { c: 1.5, b: null }, 1e21, 1e-7, 12345678901234567000, []], a: {} },
      headers: { "Retry-After": "7" }
    }),
    faulty("429 of a gateway", "429", {
      _tag: "Status",
      status: 429,
      body: "Too many requests",
      contentType: "text/plain"
    }),
    faulty("500", "500", { _tag: "Status", status: 500, body: { message: "oh", requestId: "r", statusCode: 500 } }),
    faulty("502 of a gateway", "502", { _tag: "Html", status: 502 }),
    faulty("503 without a body", "503", { _tag: "Status", status: 503 }),
    faulty("200 of a gateway", "200", { _tag: "Html", status: 200 }),
    faulty("200 with half of it", "200", { _tag: "Status", status: 200, body: `{"a": ` }),
    faulty("202", "202", { _tag: "Status", status: 202, body: {} }),
    faulty("an answer that is lost", "unreachable", { _tag: "DropAfter" }),
    faulty("a request that is lost", "unreachable", { _tag: "DropBefore" }),
    faulty("an answer that is cut", "unreachable", { _tag: "Cut" }),
    {
      name: "no server",
      means: "unreachable",
      act: send("GET", organizations, undefined, () => Effect.succeed({ apiUrl: "http://127.0.0.1:1" }))
    },
    {
      name: "no token",
      means: "notLoggedIn",
      act: ({ run }) =>
        run(["api", "cloud", "/organizations", "-X", "GET", "-i"], (text) => text.replace(/Bearer [^"]*/, ""))
    },
    {
      name: "no context",
      means: "notLoggedIn",
      act: ({ run }) => run(["api", "cloud", "/organizations", "-X", "GET", "-i"], () => "")
    }
  ]
}

const init = (name: string, means: string, files: Readonly<Record<string, string>>, project: {
  readonly name: string
  readonly runtimeVersion: string
}): Step => ({
  name,
  means,
  act: ({ cli, folder }) => Effect.flatMap(cli(), ({ devInit }) => devInit({ folder: folder(files), ...project }))
})

const projects: Scene = {
  title: "projects",
  steps: [
    { name: "tells its version", means: "version", act: ({ run }) => run(["version"]) },
    init("makes a project for Airflow 2", "true", {}, { name: "airflow_test_1", runtimeVersion: "13.1.0" }),
    init("makes a project for Airflow 3", "true", {}, { name: "airflow_test_1", runtimeVersion: "3.1-12" }),
    init("in a folder that is not empty", "refused", { "mine.txt": "" }, { name: "aa", runtimeVersion: "13.1.0" }),
    init("of a name that will not do", "unexpected", {}, { name: "My Project!", runtimeVersion: "13.1.0" }),
    init("of a runtime that will not do", "unexpected", {}, { name: "aa", runtimeVersion: "banana" })
  ]
}

interface Deploy {
  readonly files: Readonly<Record<string, string>>
  readonly id: string
  readonly token: Redacted.Redacted
  readonly workspaceId: string
}

/** A deploy. Requires 1.43 or newer. */
const deploys = (
  name: string,
  means: string,
  changed: (stage: Stage) => Effect.Effect<Partial<Deploy>> = () => Effect.succeed({})
): Step => ({
  name,
  means,
  act: (stage) =>
    Effect.gen(function*() {
      const { emulator } = stage
      const deploy: Deploy = {
        files: { "one.py": "# a DAG\n", "more/two.py": "# another\n" },
        id: yield* deploymentOf(emulator),
        token: emulator.astroToken,
        workspaceId: emulator.workspaceId,
        ...yield* changed(stage)
      }
      const { files, id: deploymentId, token, workspaceId } = deploy
      const { deployDags } = yield* stage.cli({ workspaceId })
      yield* deployDags({ deploymentId, organizationId: emulator.organizationId, token, dags: stage.folder(files) })
    })
})

/** Lets the next requests of this kind fail. */
const failing = (method: string, path: RegExp, then: Faults.Outcome, times = 1) => ({ emulator }: Stage) =>
  Effect.as(emulator.faults.next({ match: { method, path }, then, times }), {})

const toDeployments: Scene = {
  title: "deploys",
  steps: [
    creates("creates a deployment", "200"),
    deploys("deploys", "TIME"),
    deploys("deploys a folder without DAGs", "TIME", () => Effect.succeed({ files: {} })),
    deploys(
      "to a deployment that is not there",
      "unexpected",
      () => Effect.succeed({ id: "c00000000000000000000none" })
    ),
    deploys("from another workspace", "refused", () => Effect.succeed({ workspaceId: "cother0000000000000000000" })),
    deploys(
      "with an expired token",
      "notLoggedIn",
      ({ emulator }) => Effect.map(emulator.mintAstroToken({ expiresIn: 0 }), (token) => ({ token }))
    ),
    creates("creates one that takes no DAGs", "200", { name: "two", isDagDeployEnabled: false }),
    deploys(
      "to one that takes no DAGs",
      "unexpected",
      ({ emulator }) => Effect.map(emulator.audit, ({ deployments }) => ({ id: deployments[1]?.id ?? "none" }))
    ),
    deploys("a gateway in between", "unreachable", failing("GET", /deployments/, { _tag: "Html", status: 502 })),
    deploys(
      "a deploy that is refused",
      "unexpected",
      failing("POST", /deploys$/, {
        _tag: "Status",
        status: 403,
        body: { message: "Forbidden", requestId: "r", statusCode: 403 }
      })
    ),
    deploys("an upload that is refused", "unreachable", failing("PUT", /blobs/, { _tag: "Status", status: 403 })),
    deploys("an upload that fails", "unreachable", failing("PUT", /blobs/, { _tag: "Status", status: 500 }, 4)),
    deploys("an upload without a version", "crashed", failing("PUT", /blobs/, { _tag: "Status", status: 201 })),
    deploys("an end that is lost", "unreachable", failing("POST", /finalize/, { _tag: "DropAfter" })),
    deploys("no server", "unreachable", failing("GET", /deployments/, { _tag: "DropBefore" })),
    hibernates,
    deploys("to one that hibernates", "unexpected")
  ]
}

export const scenes: ReadonlyArray<Scene> = [projects, requests, trouble, toDeployments]
