import type { Emulator } from "@airflow-resource/emulator"
import { Effect, Redacted } from "effect"

export interface HttpResponse {
  readonly status: number
  readonly contentType: string
  readonly headers: Headers
  readonly text: string
  // tests read any field of a body without declaring it
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any
}

export interface Call {
  readonly token?: Redacted.Redacted | undefined
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export class NoResponse extends Error {
  readonly _tag = "NoResponse"
}

export const send = (method: string, url: string, { body, headers = {}, token }: Call = {}) =>
  Effect.tryPromise({
    try: async (signal): Promise<HttpResponse> => {
      const response = await fetch(url, {
        method,
        signal,
        redirect: "manual",
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) })
      })
      const text = await response.text()
      const contentType = response.headers.get("content-type") ?? ""
      return {
        status: response.status,
        contentType,
        headers: response.headers,
        text,
        json: /[/+]json\b/.test(contentType) && text !== "" ? JSON.parse(text) : undefined
      }
    },
    catch: () => new NoResponse(`${method} ${url}`)
  })

/** Polls until the value is the expected one. Fails after ten seconds. */
export const until = <A, E>(effect: Effect.Effect<A, E>, isExpected: (value: A) => boolean) =>
  effect.pipe(
    Effect.tap((value) => isExpected(value) ? Effect.void : Effect.sleep("5 millis")),
    Effect.repeat({ until: isExpected }),
    Effect.timeoutFail({
      duration: "10 seconds",
      onTimeout: () => new NoResponse("the value never became the expected one")
    })
  )

export const astro = (emulator: Emulator.Service, token: Redacted.Redacted = emulator.astroToken) => {
  const organization = `${emulator.astroApiUrl}/v1/organizations/${emulator.organizationId}`
  const call = (method: string, path: string, body?: unknown) =>
    send(method, `${organization}/${path}`, { token, body })
  return {
    call,
    create: (name: string, fields: Record<string, unknown> = {}) =>
      call("POST", "deployments", {
        name,
        workspaceId: emulator.workspaceId,
        isDevelopmentMode: true,
        astroRuntimeVersion: "13.1.0",
        cloudProvider: "AWS",
        region: "us-east-1",
        ...fields
      }),
    get: (id: string) => call("GET", `deployments/${id}`),
    hibernate: (id: string, isHibernating: boolean) =>
      call("POST", `deployments/${id}/hibernation-override`, { isHibernating }),
    createToken: (entityId: string, name = "lease") =>
      call("POST", "tokens", { name, scope: "DEPLOYMENT", role: "DEPLOYMENT_ADMIN", entityId })
  }
}

/** The emulator's runtimes, by their version of Airflow. */
export const runtimes = {
  "2.11": "13.5.0",
  "3.0": "3.0-9",
  "3.1": "3.1-12",
  "3.2": "3.2-5",
  "3.3": "3.3-3"
} as const

export type Minor = keyof typeof runtimes

export const airflow3: ReadonlyArray<Minor> = ["3.0", "3.1", "3.2", "3.3"]

/** A deployment whose Airflow responds. */
export const awake = (emulator: Emulator.Service, name = "one", minor?: Minor) =>
  Effect.gen(function*() {
    const fields = minor === undefined ? {} : { astroRuntimeVersion: runtimes[minor] }
    const created = yield* astro(emulator).create(name, fields)
    const id: string = created.json.id
    const url = created.json.webServerAirflowApiUrl as string
    const airflow = (method: string, path: string, call: Call = {}) =>
      send(method, `${url}/${path}`, { token: emulator.astroToken, ...call })
    yield* until(airflow("GET", "version"), ({ status }) => status === 200)
    return { id, url, site: url.replace(/\/api\/v\d$/, ""), airflow }
  })
