// Copies the examples that the README names into it: `npm run format` after changing one.
import fs from "node:fs"

const readme = fs.readFileSync("README.md", "utf8")
fs.writeFileSync(
  "README.md",
  readme.replace(
    /<!-- (examples\/\S+) -->\n```ts\n[\s\S]*?```/g,
    (_, file) => `<!-- ${file} -->\n\`\`\`ts\n${fs.readFileSync(file, "utf8")}\`\`\``
  )
)
