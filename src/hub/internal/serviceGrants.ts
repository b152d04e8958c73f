/** What a permission that names services is worth: its machine's agent holds clients to them, or nobody does. */
import type { Decision } from "../../policy/Policy.ts"
import type { Machine } from "../Directory.ts"

/** To a client whose grant names services, when nobody on the machine would hold it to them. */
const noServiceGrants =
  "your grant is limited to some services, which the agent of this machine is too old to enforce; upgrade telad there"

/** Why a permission to connect counts for nothing on this machine; undefined where it counts, and for what is no permission. */
export const unenforced = ({ permit, services }: Decision, machine: Machine | undefined): string | undefined =>
  permit && services !== undefined && machine?.about.serviceGrants !== true ? noServiceGrants : undefined
