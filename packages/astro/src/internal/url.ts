/** URLs of Astro's API, which users write with or without a slash at the end. */
export const withoutTrailingSlash = (apiUrl: string) => apiUrl.replace(/\/+$/, "")
