/** The error of a deploy, through the CLI or the API, whose DAG folder does not exist. */
export const missingFolder = (dags: string) => ({
  kind: "refused" as const,
  detail: `the DAG folder ${dags} does not exist`,
  remedy: "Set AIRFLOW_DAG_PATH to the folder that holds the DAGs."
})
