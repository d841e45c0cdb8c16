/** The error of both ways to deploy for a DAG folder that does not exist. */
export const missingFolder = (dags: string) => ({
  kind: "refused" as const,
  detail: `the DAG folder ${dags} does not exist`,
  remedy: "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."
})
