import { ErrorFields } from "@airflow-resource/core"
import { assert, it } from "@effect/vitest"

it("a message continues on a new line after the lines of a program", () => {
  const message = (detail: string) => ErrorFields.message({ operation: "deliver", detail, remedy: "Correct it." })
  assert.strictEqual(message("there is no folder"), "Could not deliver: there is no folder. Correct it.")
  assert.strictEqual(message("a.py:\nNameError: x"), "Could not deliver: a.py:\nNameError: x\nCorrect it.")
})
