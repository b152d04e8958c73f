/** A service that cannot be installed, run or looked at. The message says what to do. */
import * as Schema from "effect/Schema"

export class ServiceError extends Schema.TaggedError<ServiceError>()("ServiceError", { problem: Schema.String }) {
  override get message(): string {
    return this.problem
  }
}
