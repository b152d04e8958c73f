/** The version of this software, as package.json has it (a test compares them). */
export const VERSION = "v1.0.0"
