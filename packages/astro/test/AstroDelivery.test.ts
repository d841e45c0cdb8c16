import { Effect } from "effect"
import { suite } from "./delivery.suite.js"
import * as StandIn from "./StandIn.js"

suite("AstroDelivery through a stand-in for the astro CLI", Effect.map(StandIn.make(), ({ bin }) => bin))
