import { DagDelivery, Deployment } from "@airflow-resource/core"
import { GithubRepository, GithubSecrets, SecretsDelivery } from "@airflow-resource/github"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { collectSpans } from "../../core/test/collectSpans.js"
import * as FakeGithub from "./FakeGithub.js"

const repository = new GithubRepository.GithubRepository({ host: "github.com", owner: "My-Org", name: "my-dags" })

it.scoped("a delivery is one span with one span for each operation on GitHub, and no secret in them", () =>
  Effect.gen(function*() {
    const github = yield* FakeGithub.make
    const layer = SecretsDelivery.layer({ repository }).pipe(
      Layer.provide(GithubSecrets.layer({ token: Redacted.make("ghp_CANARY"), fetch: github.fetch }))
    )
    const { deliver } = Context.get(yield* Layer.build(layer), DagDelivery.DagDelivery)
    const delivery = Effect.scoped(deliver({
      deploymentId: Deployment.DeploymentId.make("deployment-1"),
      deploymentName: "pool-1",
      accessToken: Redacted.make("CANARY-lease-token"),
      leaseId: "lease-1",
      onWait: () => Effect.void
    }))
    const refused = FakeGithub.json(403, { message: "no, ghp_CANARY" })
    const { spans, text } = yield* collectSpans(Effect.gen(function*() {
      yield* delivery
      github.plan("PUT /repos/My-Org/my-dags/actions/secrets/ASTRO_ACCESS_TOKEN", refused)
      yield* Effect.flip(delivery)
    }))
    const once = [
      {
        name: "SecretsDelivery.deliver",
        parent: undefined,
        attributes: {
          "deployment.id": "deployment-1",
          "deployment.name": "pool-1",
          "github.repository": "My-Org/my-dags",
          "lease.id": "lease-1"
        }
      },
      {
        name: "GithubSecrets.put",
        parent: "SecretsDelivery.deliver",
        attributes: { "github.repository": "My-Org/my-dags" }
      }
    ]
    assert.deepStrictEqual(spans.filter(({ name }) => /Github|Secrets/.test(name)), [...once, ...once])
    assert.include(text, "GitHub responded with status 403")
    assert.notInclude(text, "CANARY")
  }))
