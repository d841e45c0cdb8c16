/** Where every setting is read from. */
import * as Path from "@effect/platform/Path"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** The process's environment, then the `.env` in the project's root where there is one. */
export const provider = (root: Option.Option<string>) =>
  Effect.gen(function*() {
    const path = yield* Path.Path
    const environment = ConfigProvider.fromEnv()
    const dotEnv = yield* Effect.option(
      Effect.flatMap(root, (folder) => PlatformConfigProvider.fromDotEnv(path.join(folder, ".env")))
    )
    return Option.match(dotEnv, {
      onNone: () => environment,
      onSome: (file) => ConfigProvider.orElse(environment, () => file)
    })
  })
