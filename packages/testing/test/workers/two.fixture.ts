import { lease } from "./lease.js"

lease()
