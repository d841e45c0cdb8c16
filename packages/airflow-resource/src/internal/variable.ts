/** An environment variable, as messages and the documentation describe it. */
export interface Variable {
  /** Completes the sentence "It is …". */
  readonly meaning: string
  /** As a user would write it. Absent: there is no default. */
  readonly default?: string
  /** What the variable may be. Absent: anything of its type. */
  readonly values?: ReadonlyArray<string>
}

export type Variables = Readonly<Record<string, Variable>>
