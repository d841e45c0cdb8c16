import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { afterEach, beforeEach } from "vitest"
import * as Folders from "../../src/internal/supervisor/Folders.js"

describe("the copy of a folder", () => {
  let folder = ""
  const file = (name: string) => path.join(folder, name)
  const write = (name: string, text: string) => {
    fs.mkdirSync(path.dirname(file(name)), { recursive: true })
    fs.writeFileSync(file(name), text)
  }
  const mirror = () => [...Folders.mirror(file("source"), file("target"))].sort()
  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "folders-"))
  })
  afterEach(() => fs.rmSync(folder, { recursive: true }))

  it("has each file, and loses those that are gone", () => {
    write("source/a.py", "1")
    write("source/sub/b.py", "2")
    assert.deepStrictEqual(mirror(), ["a.py", "sub/b.py"])
    assert.deepStrictEqual(mirror(), [])
    write("source/a.py", "3")
    fs.rmSync(file("source/sub"), { recursive: true })
    assert.deepStrictEqual(mirror(), ["a.py", "sub/b.py"])
    assert.strictEqual(fs.readFileSync(file("target/a.py"), "utf8"), "3")
    assert.deepStrictEqual([...Folders.filesOf(file("target"))], ["a.py"])
  })

  it("deletes a link in the target, and nothing that it leads to", () => {
    write("source/a.py", "1")
    write("precious/own.txt", "mine")
    mirror()
    fs.symlinkSync(file("precious"), file("target/folder"))
    fs.rmSync(file("target/a.py"))
    fs.symlinkSync(file("precious/own.txt"), file("target/a.py"))
    assert.deepStrictEqual(mirror(), ["a.py", "folder"])
    assert.strictEqual(fs.readFileSync(file("precious/own.txt"), "utf8"), "mine")
    assert.strictEqual(fs.readFileSync(file("target/a.py"), "utf8"), "1")
    assert.deepStrictEqual(fs.readdirSync(file("target")), ["a.py"])
  })

  it("keeps the mode of a file", () => {
    write("source/run.sh", "true")
    fs.chmodSync(file("source/run.sh"), 0o755)
    mirror()
    assert.strictEqual(fs.statSync(file("target/run.sh")).mode & 0o700, 0o700)
  })

  it("does not touch a file that is the same", () => {
    write("source/a.py", "1")
    mirror()
    const { ino } = fs.statSync(file("target/a.py"))
    write("source/a.py", "1")
    mirror()
    assert.strictEqual(fs.statSync(file("target/a.py")).ino, ino)
  })

  it("leaves out what Python and git keep there", () => {
    write("source/__pycache__/a.pyc", "1")
    write("source/.git/HEAD", "1")
    write("target/__pycache__/a.pyc", "1")
    assert.deepStrictEqual(mirror(), [])
    assert.isTrue(fs.existsSync(file("target/__pycache__/a.pyc")))
  })

  it("follows links, but not in circles or to nowhere", () => {
    write("elsewhere/b.py", "2")
    fs.mkdirSync(file("source"))
    fs.symlinkSync(file("elsewhere"), file("source/linked"))
    fs.symlinkSync(file("source"), file("source/circle"))
    fs.symlinkSync(file("nowhere"), file("source/dangling.py"))
    assert.deepStrictEqual(mirror(), ["linked/b.py"])
    assert.isFalse(fs.lstatSync(file("target/linked")).isSymbolicLink())
  })

  it("takes the place of what was there", () => {
    write("source/a", "1")
    write("source/b/c", "2")
    mirror()
    fs.rmSync(file("source"), { recursive: true })
    write("source/a/c", "3")
    write("source/b", "4")
    assert.deepStrictEqual(mirror(), ["a", "a/c", "b", "b/c"])
    assert.strictEqual(fs.readFileSync(file("target/b"), "utf8"), "4")
  })

  it("empties the target if there is no source", () => {
    write("target/a.py", "1")
    assert.deepStrictEqual(mirror(), ["a.py"])
  })
})
