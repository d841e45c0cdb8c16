/** A separate `ASTRO_HOME` for the astro CLI. With its config the program does not prompt, log in or write anything. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { AstroConfig } from "../AstroConfig.js"
import * as TemporaryFolder from "./temporaryFolder.js"
import { cloudDomain, withoutTrailingSlash } from "./url.js"

/** Variables of this process that the program gets too. Go reads them as Node does. */
const inherited = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"].concat(
  ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "TMPDIR"]
)

/** The folder, and the whole environment of a call of the program. */
export interface Home {
  readonly path: string
  readonly env: Readonly<Record<string, string>>
}

/** Closing the scope deletes the folder, and the token with it. */
export const make = (
  account: AstroConfig,
  environment: Readonly<Record<string, string | undefined>>
): Effect.Effect<Home, PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const path = yield* TemporaryFolder.make("airflow-resource-astro-")
    yield* fs.makeDirectory(join(path, ".astro"), { mode: 0o700 })
    yield* fs.writeFileString(join(path, ".astro", "config.yaml"), configText(account), { mode: 0o600 })
    return {
      path,
      env: {
        ...Object.fromEntries(inherited.flatMap((name) => environment[name] ? [[name, environment[name]]] : [])),
        ASTRO_HOME: path,
        HOME: path,
        // does not exist, so that the program finds no other program, above all no browser
        PATH: join(path, "bin"),
        ASTRO_TELEMETRY_DISABLED: "1",
        CLICOLOR_FORCE: "0",
        NO_COLOR: "1"
      }
    }
  })

/**
 * The only place that contains the token. Its expiry is set far in the future, because the CLI would open a browser to renew an expired
 * token. Strings are written as JSON, which is valid YAML.
 */
export const configText = ({ apiUrl, organizationId, token, workspaceId }: AstroConfig): string => {
  // every other URL needs `localhost`, because the program reads its API's URL from `local.core`
  const domain = Option.getOrElse(cloudDomain(apiUrl), () => "localhost")
  const quoted = JSON.stringify
  const organization = Option.getOrElse(organizationId, () => "")
  return `context: ${quoted(domain)}
contexts:
  ${quoted(domain.replaceAll(".", "_"))}:
    domain: ${quoted(domain)}
    token: ${quoted(`Bearer ${Redacted.value(token)}`)}
    expiresin: 2099-01-01T00:00:00Z
    refreshtoken: ""
    organization: ${quoted(organization)}
    organization_product: HOSTED
    workspace: ${quoted(workspaceId)}
    last_used_workspace: ${quoted(workspaceId)}
    user_email: ""
${
    domain === "localhost"
      ? `local:\n  core: ${quoted(withoutTrailingSlash(apiUrl))}\n  platform: cloud\n`
      : ""
  }upgrade_message: "false"
auto_select: "false"
telemetry:
  enabled: "false"
  notice_shown: "true"
`
}
