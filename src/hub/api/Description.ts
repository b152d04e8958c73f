/** The OpenAPI description of the interface, made from its definition: what needs a token says so. */
import * as OpenApi from "@effect/platform/OpenApi"
import { HubApi } from "../../protocol/HubApi.ts"

type Operation = OpenApi.OpenAPISpecOperation

/** A token is a scheme of its own in OpenAPI, and no header among others. */
const withScheme = (operation: Operation): Operation => {
  const parameters = operation.parameters.filter(({ name }) => name !== "authorization")
  return parameters.length === operation.parameters.length
    ? operation
    : { ...operation, parameters, security: [{ bearer: [] }] }
}

const generated = OpenApi.fromApi(HubApi)

export const description: OpenApi.OpenAPISpec = {
  ...generated,
  paths: Object.fromEntries(
    Object.entries(generated.paths).map(([path, { delete: del, get, patch, post, put }]) => [
      path,
      {
        ...(get && { get: withScheme(get) }),
        ...(post && { post: withScheme(post) }),
        ...(put && { put: withScheme(put) }),
        ...(patch && { patch: withScheme(patch) }),
        ...(del && { delete: withScheme(del) })
      }
    ])
  ),
  components: {
    ...generated.components,
    securitySchemes: {
      bearer: { type: "http", scheme: "bearer", description: "the token of an identity of this hub" }
    }
  }
}
