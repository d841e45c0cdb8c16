// Copies examples into the documents that name them. Run `npm run format` after changing an example.
import fs from "node:fs"

const documents = [
  "README.md",
  ...fs.readdirSync("docs").filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
  ...fs.readdirSync("packages").map((name) => `packages/${name}/README.md`)
]
for (const readme of documents) {
  if (!fs.existsSync(readme)) continue
  const text = fs.readFileSync(readme, "utf8")
  const synced = text.replace(
    /<!-- (examples\/\S+) -->\n```ts\n[\s\S]*?```/g,
    (_, file) => `<!-- ${file} -->\n\`\`\`ts\n${fs.readFileSync(file, "utf8")}\`\`\``
  )
  if (synced !== text) fs.writeFileSync(readme, synced)
}
