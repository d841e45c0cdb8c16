/** Where the reapers of a ledger write what they do. */
export const logOf = (cache: string): string => `${cache}.reaper.log`
