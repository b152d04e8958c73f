/** What other sites' pages may do with this hub (spec: hub-api 0.3), and what is said to their browsers. */

/**
 * For answers that any page may read: they need a token that the page must already have. The administration sends none of
 * these, whatever the Origin, so that no other site's page can read or change anything there.
 */
export const openToAll = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
  "access-control-allow-headers": "Content-Type, Authorization"
} as const
