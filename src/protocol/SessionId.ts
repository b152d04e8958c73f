/** Session ids in logs. Whoever knows a whole one may join the session in the agent's place. */

const LOGGED_CHARACTERS = 12

/** What logs call a session: enough to tell it from others, not enough to join it. */
export const logged = (sessionId: string): string => sessionId.slice(0, LOGGED_CHARACTERS)
