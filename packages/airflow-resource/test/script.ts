// Run as a process: a script without Effect that leases once.
import { Airflow } from "airflow-resource"

await using lease = await Airflow.lease({ testName: "script" })
const { runId } = await lease.airflow.runDag("hello_world_dag", { timeout: "1 minute" })
process.stdout.write(await lease.airflow.getTaskInstanceLogs("hello_world_dag", runId, "hello"))
