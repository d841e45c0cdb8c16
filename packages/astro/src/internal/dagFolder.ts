/** What both ways of deploying say of a folder of DAGs that is not there. */
export const noFolder = (dags: string) => ({
  kind: "refused" as const,
  detail: `the folder of the DAGs, ${dags}, is not there`,
  remedy: "Set AIRFLOW_DAG_PATH to the folder that holds them."
})
