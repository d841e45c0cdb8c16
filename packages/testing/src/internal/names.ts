/** What a test and its Airflow are called. */

/** A test's file, suites and name. */
export const nameOf = (task: Task): string => {
  const suites = (suite: Task["suite"]): ReadonlyArray<string> =>
    // a file is a suite too
    suite === undefined || "filepath" in suite ? [] : [...suites(suite.suite), suite.name]
  return [task.file.name, ...suites(task.suite), task.name].filter((name) => name !== "").join(" > ")
}

/** What a report says about the Airflow of a test. */
export const annotationOf = (
  { deploymentName, leaseId, reused, uiUrl }: {
    readonly [Name in "deploymentName" | "leaseId" | "reused" | "uiUrl"]: string
  }
): string => `${deploymentName} (${reused}), lease ${leaseId}, ${uiUrl}`

// internal

interface Suite {
  readonly name: string
  readonly suite?: Suite | undefined
}

interface Task extends Suite {
  readonly file: Suite
}
