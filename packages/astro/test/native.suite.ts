import { type AstroCli, AstroCliVersion } from "@airflow-resource/astro"
import * as ProcessRunner from "@airflow-resource/core/ProcessRunner"
import { Emulator } from "@airflow-resource/emulator"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Schedule } from "effect"
import * as AstroHome from "../src/internal/astroHome.js"
import { account } from "./cli.js"

/** Commands that users type work against the emulator, although the library does not use them. */
export const suite = ({ path: bin, version }: AstroCli.Program) =>
  describe("the emulator serves the astro CLI's own commands", () => {
    it.scopedLive("for organizations, workspaces, deployments, tokens and variables", () =>
      Effect.gen(function*() {
        const emulator = yield* Emulator.make({ speed: 1000 })
        const { run } = yield* ProcessRunner.ProcessRunner
        const { organizationId, workspaceId } = emulator
        const home = yield* AstroHome.make({
          ...account(emulator),
          organizationId: Option.some(organizationId)
        }, {})
        /** Asserts the exit code and the output, and returns the output. */
        const astro = (args: ReadonlyArray<string>, says: RegExp) =>
          Effect.map(
            run({ command: bin, args, env: home.env, cwd: home.path, timeout: "20 seconds" }),
            ({ exitCode, stderr, stdout }) => {
              assert.strictEqual(exitCode, 0, `${args.join(" ")}: ${stderr}`)
              assert.match(stdout, says)
              return stdout
            }
          )
        const json = AstroCliVersion.isBefore(version, [1, 42]) ? [] : ["--json"]
        yield* astro(["workspace", "list", ...json], new RegExp(workspaceId))
        yield* astro(["organization", "list", ...json], new RegExp(organizationId))
        yield* astro(["deployment", "list"], /no Deployments found in workspace/)
        const basics = [
          "--name",
          "one",
          "--runtime-version",
          "13.1.0",
          "--executor",
          "CeleryExecutor",
          "--region",
          "us-east-1"
        ]
        const kind = ["--type", "standard", "--cloud-provider", "aws", "--scheduler-size", "small"]
        const modes = ["--high-availability", "disable", "--development-mode", "enable"]
        yield* astro(["deployment", "create", ...basics, ...kind, ...modes], /Successfully created Deployment: one/)
        const listed = yield* astro(["deployment", "list", ...json], /\bone\b/)
        const id = /\bc[a-z0-9]{24}\b/.exec(listed)?.[0] ?? ""
        const status = ["deployment", "inspect", id, "--clean-output", "--key", "metadata.status"]
        yield* Effect.retry(astro(status, /^HEALTHY$/m).pipe(Effect.catchAllDefect(Effect.fail)), {
          schedule: Schedule.spaced("50 millis"),
          times: 100
        })
        const document = yield* astro(["deployment", "inspect", id, "-o", "json", "--clean-output"], /"deployment"/)
        const { configuration, metadata } = JSON.parse(document).deployment
        assert.deepInclude(configuration, {
          name: "one",
          executor: "CELERY",
          is_development_mode: true,
          region: "us-east-1"
        })
        assert.deepInclude(metadata, { deployment_id: id, workspace_id: workspaceId, airflow_version: "2.11.0" })
        yield* astro(
          ["deployment", "hibernate", id, "--force"],
          /Successfully overrode to hibernate until further notice/
        )
        yield* astro(
          ["deployment", "wake-up", id, "--force", "--for", "2h"],
          /Successfully overrode to wake up until 20/
        )
        yield* astro(["deployment", "wake-up", id, "--force", "--remove-override"], /removed hibernation override/)
        const at = ["--deployment-id", id]
        const named = ["--name", "mine", "--role", "DEPLOYMENT_ADMIN", "--expiration", "1", "--clean-output"]
        yield* astro(["deployment", "token", "create", ...at, ...named], /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/m)
        const tokens = yield* astro(["deployment", "token", "list", ...at], /^ (c[a-z0-9]{24}) +mine /m)
        const tokenId = /^ (c[a-z0-9]{24}) +mine /m.exec(tokens)?.[1] ?? ""
        yield* astro(["deployment", "token", "rotate", tokenId, ...at, "--force", "--clean-output"], /^eyJ/m)
        yield* astro(["deployment", "token", "delete", tokenId, ...at, "--force"], /was successfully deleted/)
        yield* astro(["deployment", "variable", "create", "A=1", ...at], /adding variable A/)
        yield* astro(["deployment", "variable", "create", "B=2", "--secret", ...at], /\bB +\*{4} +true/)
        yield* astro(["deployment", "variable", "update", "A=3", ...at], /updating variable A/)
        yield* astro(["deployment", "variable", "list", ...at], /\bA +3 +false[^]*\bB +\*{4} +true/)
        yield* astro(["deployment", "update", id, "--force", "--description", "new"], /Successfully updated Deployment/)
        yield* astro(["deployment", "logs", id], /No matching logs have been recorded/)
        yield* astro(["organization", "switch", organizationId], /same organization/)
        yield* astro(["deployment", "delete", id, "--force"], /Successfully deleted deployment one/)
        const { deployments, requests, tokens: left } = yield* emulator.audit
        assert.deepStrictEqual([deployments, left], [[], []])
        assert.deepStrictEqual(requests.filter(({ status }) => status >= 400), [])
      }).pipe(Effect.provide(Layer.merge(ProcessRunner.layer, NodeContext.layer))))
  })
