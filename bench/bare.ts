/**
 * The baseline: a client on bare `fetch` that knows the version of its Airflow and checks nothing but the status.
 */

type Row = Readonly<Record<string, unknown>>
interface Run extends Row {
  readonly state: string
}

/** `apiUrl` ends in `/api/v1` or `/api/v2`. */
export const make = (apiUrl: string, token: string) => {
  const isV1 = apiUrl.endsWith("/api/v1")
  const headers = { accept: "application/json", authorization: `Bearer ${token}` }

  const send = (method: string, path: string, body?: unknown) =>
    fetch(
      `${apiUrl}${path}`,
      body === undefined
        ? { method, headers }
        : { method, headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) }
    )
  const ok = (response: Response) => {
    if (!response.ok) throw new Error(`${response.url} responded with ${response.status}`)
    return response
  }
  const get = async <A>(path: string) => (await ok(await send("GET", path)).json()) as A
  const change = async (method: string, path: string, body?: unknown) => {
    await ok(await send(method, path, body)).text()
  }

  const pages = async (path: string, member: string) => {
    const rows: Array<Row> = []
    for (;;) {
      const page = await get<Row & { readonly total_entries: number }>(
        `${path}${path.includes("?") ? "&" : "?"}limit=100&offset=${rows.length}`
      )
      const more = page[member] as ReadonlyArray<Row>
      rows.push(...more)
      if (more.length === 0 || rows.length >= page.total_entries) return rows
    }
  }

  const run = (dagId: string, runId: string) => get<Run>(`/dags/${dagId}/dagRuns/${encodeURIComponent(runId)}`)

  /** The paths of everything that an empty Airflow would not have. */
  const leftovers = async () => {
    const [dags, runs, variables, connections, pools] = await Promise.all([
      pages("/dags", "dags"),
      pages("/dags/~/dagRuns", "dag_runs"),
      pages("/variables", "variables"),
      pages("/connections", "connections"),
      pages("/pools", "pools")
    ])
    const paths = (rows: ReadonlyArray<Row>, path: (row: Row) => string) => rows.map(path)
    return {
      unpaused: paths(dags.filter((row) => row["is_paused"] === false), (row) => `/dags/${row["dag_id"]}`),
      others: [
        ...paths(runs, (row) => `/dags/${row["dag_id"]}/dagRuns/${encodeURIComponent(String(row["dag_run_id"]))}`),
        ...paths(variables, (row) => `/variables/${row["key"]}`),
        ...paths(connections, (row) => `/connections/${row["connection_id"]}`),
        ...paths(pools.filter((row) => row["name"] !== "default_pool"), (row) => `/pools/${row["name"]}`)
      ]
    }
  }

  return {
    version: () => get("/version"),
    ready: async () => {
      const health = await get<{ readonly scheduler: { readonly status: string } }>(
        isV1 ? "/health" : "/monitor/health"
      )
      if (health.scheduler.status !== "healthy") throw new Error("the scheduler is not healthy")
      await get("/dags?limit=1")
    },
    dag: (dagId: string) => get<Row>(`/dags/${dagId}`),
    variables: () => pages("/variables?order_by=id", "variables"),
    /** Creates the variable, or updates the existing one. */
    putVariable: async (key: string, value: string) => {
      const response = await send("POST", "/variables", { key, value })
      if (response.status !== 409) return void await ok(response).text()
      await response.text()
      await change("PATCH", `/variables/${key}`, { key, value })
    },
    run,
    /** Polls as the client does: after 250 milliseconds, then with delays that double up to five seconds. */
    awaitRun: async (dagId: string, runId: string) => {
      for (let delay = 250;; delay = Math.min(delay * 2, 5000)) {
        const polled = await run(dagId, runId)
        if (polled.state === "success" || polled.state === "failed") return polled
        await new Promise((resume) => setTimeout(resume, delay))
      }
    },
    /** Lists what is left, deletes it one by one, and lists again. */
    reset: async () => {
      const before = await leftovers()
      if (before.unpaused.length + before.others.length === 0) return
      for (const path of before.unpaused) await change("PATCH", path, { is_paused: true })
      for (const path of before.others) await change("DELETE", path)
      const after = await leftovers()
      if (after.unpaused.length + after.others.length > 0) {
        throw new Error("the Airflow is not empty after a bare reset")
      }
    }
  }
}

export type Bare = ReturnType<typeof make>
