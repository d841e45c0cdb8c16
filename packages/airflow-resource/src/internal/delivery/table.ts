/** All deliveries. A new one is a file beside this one, a line here, and its name with each provider that supports it. */
import type * as Config from "effect/Config"
import type { Parts } from "../provider/parts.js"
import { astro } from "./astro.js"
import type { DeliveryDefinition } from "./definition.js"
import { local } from "./local.js"
import { none } from "./none.js"
import { emulatedSecrets, secrets } from "./secrets.js"

const table = { Secrets: secrets, EmulatedSecrets: emulatedSecrets, Astro: astro, Local: local, None: none }

export type Delivery = Config.Config.Success<ReturnType<(typeof table)[keyof typeof table]["config"]>>

/** Safe, since a definition is only given deliveries of its own tag. */
const erased = (definition: (typeof table)[Delivery["_tag"]]) => definition as unknown as DeliveryDefinition<Delivery>

export const all: ReadonlyArray<DeliveryDefinition<Delivery>> = Object.values(table).map(erased)

export const definitionOf = (tag: Delivery["_tag"]): DeliveryDefinition<Delivery> => erased(table[tag])

export const layer = (delivery: Delivery, provider: Parts) => definitionOf(delivery._tag).layer(delivery, provider)
