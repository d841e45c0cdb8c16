/** Whether the global setup is active. Vitest may load its module and that of a reporter in different ways, so they share no variable. */

const key = Symbol.for("@airflow-resource/testing/globalSetup")

export const isActive = (): boolean => Reflect.get(globalThis, key) === true

export const setActive = (active: boolean): void => void Reflect.set(globalThis, key, active)
