/** The DAG files of the real servers in these tests, as data. */
import type { Dags } from "@airflow-resource/emulator"

const greeting = "Hello World from Airflow"

export const dags: ReadonlyArray<Dags.DagSpec> = [
  {
    dagId: "hello_world_dag",
    tags: ["marker-v1"],
    tasks: [{ taskId: "hello", log: [greeting, "conf: {}"], xcom: { return_value: greeting } }]
  },
  {
    dagId: "failing_dag",
    tasks: [
      {
        taskId: "boom",
        outcome: "failed",
        tries: 2,
        retryDelay: "1 second",
        log: "about to fail",
        error: { type: "ValueError", value: "boom" }
      },
      { taskId: "after", log: "never reached", upstream: ["boom"] }
    ]
  },
  {
    dagId: "mapped_dag",
    tasks: [
      {
        taskId: "double",
        log: "doubling",
        mapped: [1, 2, 3].map((x) => ({ log: `doubling ${x}`, xcom: { return_value: x * 2 } }))
      },
      { taskId: "total", log: "total 12", upstream: ["double"], xcom: { return_value: 12 } }
    ]
  },
  {
    dagId: "odd.id-dag_1",
    file: "odd_ids_dag.py",
    params: { count: { type: "integer", default: 1, minimum: 1 } },
    tasks: [{ taskId: "task.with-dots_1", log: "count is 1" }]
  },
  {
    // longer than the test, which stops it
    dagId: "slow_dag",
    tasks: [{ taskId: "sleep", duration: "100 days", log: Array.from({ length: 1000 }, (_, index) => `tick ${index}`) }]
  },
  {
    dagId: "xcom_dag",
    tasks: [
      {
        taskId: "push",
        log: "",
        xcom: {
          plain: "text",
          list: [1, "two", null, true],
          return_value: { a: 1, b: [true, null], c: "it's" }
        }
      },
      {
        taskId: "pull",
        log: "pulled {'a': 1, 'b': [True, None], 'c': \"it's\"}",
        upstream: ["push"],
        xcom: { return_value: 2 }
      }
    ]
  },
  { dagId: "xcom_slash_dag", tasks: [{ taskId: "push", log: "", xcom: { "with/slash": 1.5 } }] },
  { dagId: "scheduled_dag", tasks: [{ taskId: "tick", log: "tick" }] },
  {
    dagId: "broken_dag",
    tasks: [],
    importError: "Traceback (most recent call last):\nModuleNotFoundError: No module named 'airflow_no_such_module'\n"
  }
]
