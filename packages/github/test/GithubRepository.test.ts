import { GithubRepository } from "@airflow-resource/github"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as fc from "fast-check"

const parse = (text: string) => Effect.runSyncExit(GithubRepository.parse(text))

const accepted = (text: string) => {
  const exit = parse(text)
  assert.isTrue(Exit.isSuccess(exit), `${text}: ${exit}`)
  const { host, name, owner } = Effect.runSync(GithubRepository.parse(text))
  return `${host} ${owner} ${name}`
}

const problem = (text: string) => Effect.runSync(Effect.flip(GithubRepository.parse(text)))

describe("GithubRepository", () => {
  it("parses every common form", () => {
    for (
      const text of [
        "My-Org/my.dags",
        "My-Org/my.dags/",
        " My-Org/my.dags.git\n",
        "https://github.com/My-Org/my.dags",
        "HTTPS://GitHub.com/My-Org/my.dags.git",
        "https://github.com/My-Org/my.dags/",
        "https://www.github.com/My-Org/my.dags",
        "https://user:secret@github.com/My-Org/my.dags.git",
        "https://x-access-token@github.com/My-Org/my.dags",
        "https://github.com/My-Org/my.dags?tab=readme",
        "https://github.com/My-Org/my.dags#readme",
        "https://github.com/My-Org/my.dags/tree/feature/x",
        "github.com/My-Org/my.dags",
        "github.com/My-Org/my.dags/tree/main",
        "git@github.com:My-Org/my.dags.git",
        "git@github.com:/My-Org/my.dags.git",
        "org-123@github.com:My-Org/my.dags.git",
        "ssh://git@github.com/My-Org/my.dags.git",
        "ssh://git@github.com:22/My-Org/my.dags.git",
        "ssh://git@ssh.github.com:443/My-Org/my.dags.git",
        "git://github.com/My-Org/my.dags.git",
        "git+ssh://git@github.com/My-Org/my.dags.git",
        "git+https://github.com/My-Org/my.dags.git"
      ]
    ) assert.strictEqual(accepted(text), "github.com My-Org my.dags", text)
  })

  it("keeps other hosts, web ports, and all but one .git", () => {
    assert.strictEqual(accepted("https://GHE.example.com:8443/o/r"), "ghe.example.com:8443 o r")
    assert.strictEqual(accepted("git@ghe.example.com:o/r.git"), "ghe.example.com o r")
    assert.strictEqual(accepted("http://localhost:8080/o/r"), "localhost:8080 o r")
    assert.strictEqual(accepted("o_corp/r.git.git"), "github.com o_corp r.git")
  })

  it("says what is wrong, and how to write it", () => {
    for (
      const [text, words] of [
        ["", "empty"],
        ["  ", "empty"],
        ["my-org/my dags", "space"],
        ["my-org", "no repository name"],
        ["https://github.com", "no owner"],
        ["https://github.com/my-org/", "no repository name"],
        ["https://github.com/my-org/.git", "no repository name"],
        ["my-org/..", "name has characters"],
        ["../my-dags", "host name"],
        ["my-org/my-dags/extra", "more parts"],
        ["git@github.com:my-org/my-dags/extra", "more parts"],
        ["ftp://github.com/my-org/my-dags", "scheme"],
        ["https://api.github.com/repos/my-org/my-dags", "API"],
        ["https://gist.github.com/my-org/abc", "gists"],
        ["https://raw.githubusercontent.com/my-org/my-dags/main", "files"],
        ["https://github.com/orgs/my-org/repositories", "organization"],
        ["my%2Forg/my-dags", "owner"],
        ["-org/my-dags", "owner"],
        [`${"o".repeat(40)}/r`, "39"],
        [`o/${"r".repeat(101)}`, "100"],
        ["https:///my-org/my-dags", "host"],
        ["https://user:pa/ss@github.com/my-org/my-dags", "@ after"],
        ["me@my-org/my-dags", "an @"]
      ] as const
    ) {
      const { message } = problem(text)
      assert.include(message, words, text)
      assert.include(message, "git@github.com:my-org/my-dags.git")
    }
  })

  const owner = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9-]{0,38}$/).filter((text) =>
    !/^(orgs|users|settings|enterprises|apps|topics)$/i.test(text)
  )
  const name = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}[A-Za-z0-9_-]$/).filter((text) =>
    !/\.git$/i.test(text)
  )

  it("finds owner and name in every form", () => {
    fc.assert(fc.property(
      owner,
      name,
      fc.constantFrom(
        (slug: string) => slug,
        (slug: string) => `https://github.com/${slug}`,
        (slug: string) => `git@github.com:${slug}`,
        (slug: string) => `ssh://git@github.com:22/${slug}`,
        (slug: string) => `github.com/${slug}`
      ),
      fc.constantFrom("", ".git", "/", ".git/"),
      (owner, name, form, end) => {
        assert.strictEqual(accepted(form(`${owner}/${name}`) + end), `github.com ${owner} ${name}`)
      }
    ))
  })

  it("throws for no text, and accepts only what is safe in a path", () => {
    fc.assert(fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl({ withQueryParameters: true, withFragments: true }),
        fc.string({ unit: fc.constantFrom("a", "/", ":", "@", ".", "-", "%", "\\", "?", "#", "git", "https://") })
      ),
      (text) => {
        const exit = parse(text)
        if (Exit.isFailure(exit)) return
        assert.match(exit.value.fullName, /^[\w-]+\/[\w.-]+$/)
        assert.notInclude(["", ".", ".."], exit.value.name)
        assert.match(exit.value.host, /^[a-z0-9.-]+(:\d+)?$/)
      }
    ))
  })

  it("never shows credentials", () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9:/?#%!$]{0,8}CANARY[A-Za-z0-9:/?#%!$]{0,8}$/)
    fc.assert(fc.property(
      secret,
      fc.constantFrom(
        "github.com/o/r",
        "ghe.example.com/o/r",
        "github.com/o",
        "",
        "github.com/o/r r",
        "api.github.com/o/r"
      ),
      fc.constantFrom("https://", "http://user:", "ssh://", "ftp://", ""),
      (secret, rest, scheme) => {
        const exit = Effect.runSyncExit(
          Effect.flatMap(GithubRepository.parse(`${scheme}${secret}@${rest}`), GithubRepository.apiUrl)
        )
        if (Exit.isFailure(exit)) assert.notInclude(`${exit} ${JSON.stringify(exit)}`, "CANARY")
      }
    ))
  })

  it("sends the token only to hosts that the user names", () => {
    const at = (text: string, explicit?: string) =>
      Effect.runSyncExit(
        Effect.flatMap(GithubRepository.parse(text), (repository) => GithubRepository.apiUrl(repository, explicit))
      )
    assert.deepStrictEqual(at("o/r"), Exit.succeed("https://api.github.com"))
    assert.deepStrictEqual(
      at("https://ghe.example.com/o/r", " https://ghe.example.com/api/v3/ "),
      Exit.succeed("https://ghe.example.com/api/v3")
    )
    assert.deepStrictEqual(at("o/r", "http://127.0.0.1:4000/github"), Exit.succeed("http://127.0.0.1:4000/github"))
    const refusal = (text: string, explicit?: string) => String(at(text, explicit))
    assert.include(refusal("https://evil.example.com/o/r"), "GITHUB_API_URL=https://evil.example.com/api/v3")
    assert.include(refusal("https://corp.ghe.com/o/r"), "GITHUB_API_URL=https://api.corp.ghe.com")
    for (
      const url of ["http://ghe.example.com", "https://u:CANARY@ghe.example.com", "ghe.example.com", "https://x?CANARY"]
    ) {
      assert.include(refusal("o/r", url), "GITHUB_API_URL is not a plain https URL")
      assert.notInclude(refusal("o/r", url), "CANARY")
    }
  })
})
