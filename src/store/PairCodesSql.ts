/** Pairing codes in SQLite, under the hub's own key. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { PAIR_CODE_KEPT } from "../protocol/Limits.ts"
import { Database } from "./Database.ts"
import type { DatabaseError } from "./Database.ts"
import { StoreFailure } from "./IdentityStore.ts"
import { codeDigest } from "./internal/codeDigest.ts"
import { PairCodes, pairRoles, pairTypes } from "./PairCodes.ts"

const code = {
  id: Schema.String,
  type: Schema.Literal(...pairTypes),
  machines: Schema.parseJson(Schema.Array(Schema.String)),
  role: Schema.Literal(...pairRoles),
  createdBy: Schema.String,
  createdWith: Schema.String,
  createdAt: Schema.Number,
  expiresAt: Schema.Number
}
const decodeCodes = Schema.decodeUnknown(Schema.Array(Schema.Struct(code)))
const decodeSpent = Schema.decodeUnknown(Schema.Array(Schema.Struct({ ...code, identity: Schema.String })))

/** Why nothing was written: the disk, or a person's sqlite3. */
const failure = ({ code, message }: DatabaseError): StoreFailure => {
  if (code === "SQLITE_FULL" || code === "ENOSPC" || code === "EDQUOT") {
    return new StoreFailure({ kind: "full", message: `${message}; make room there` })
  }
  return new StoreFailure({ kind: code.startsWith("SQLITE_BUSY") ? "busy" : "unwritable", message })
}

const make = (key: Redacted.Redacted<Uint8Array>): Effect.Effect<typeof PairCodes.Service, never, Database> =>
  Effect.map(Database, ({ read, sql, synced, write }) => {
    const digest = codeDigest(key)
    const columns = sql.literal(
      `CAST(id AS TEXT) AS id, type, machines, role, created_by AS createdBy, created_with AS createdWith,
       created_at AS createdAt, expires_at AS expiresAt`
    )
    const redeemable = (now: number) => sql`spent_at IS NULL AND expires_at > ${now}`

    // What cannot be read is a defect: the request ends.
    return {
      add: (secret, about) =>
        write((run) =>
          Effect.zipRight(
            run(
              sql`DELETE FROM pair_codes
                WHERE max(expires_at, coalesce(spent_at, 0)) < ${about.createdAt - PAIR_CODE_KEPT}`
            ),
            run(
              sql<{ readonly id: number }>`INSERT INTO pair_codes
                (digest, type, machines, role, created_by, created_with, created_at, expires_at)
                VALUES (${digest(secret)}, ${about.type}, ${JSON.stringify(about.machines)}, ${about.role},
                  ${about.createdBy}, ${about.createdWith}, ${about.createdAt}, ${about.expiresAt})
                RETURNING id`
            )
          )
        ).pipe(
          Effect.map(([row]) => ({ ...about, id: String(row?.id) })),
          Effect.mapError(failure)
        ),
      list: (now) =>
        read(sql`SELECT ${columns} FROM pair_codes WHERE ${redeemable(now)} ORDER BY id`).pipe(
          Effect.flatMap(decodeCodes),
          Effect.orDie
        ),
      find: (secret, now) =>
        read(sql`SELECT ${columns} FROM pair_codes WHERE digest = ${digest(secret)} AND ${redeemable(now)}`).pipe(
          Effect.flatMap(decodeCodes),
          Effect.map(([found]) => found),
          Effect.orDie
        ),
      spend: (id, identity, now) =>
        write((run) =>
          run(
            sql`UPDATE pair_codes SET spent_at = ${now}, spent_for = ${identity}
              WHERE id = ${id} AND ${redeemable(now)} RETURNING id`
          )
        ).pipe(
          Effect.map((spent) => spent.length === 1),
          Effect.tap((spent) => (spent ? synced : Effect.void)),
          Effect.mapError(failure)
        ),
      giveBack: (id) =>
        write((run) => run(sql`UPDATE pair_codes SET spent_at = NULL, spent_for = NULL WHERE id = ${id}`)).pipe(
          Effect.mapError(failure),
          Effect.asVoid
        ),
      settle: (id) =>
        write((run) => run(sql`DELETE FROM pair_codes WHERE id = ${id} AND spent_at IS NOT NULL`)).pipe(
          Effect.mapError(failure),
          Effect.asVoid
        ),
      unsettled: read(
        sql`SELECT ${columns}, spent_for AS identity FROM pair_codes WHERE spent_at IS NOT NULL ORDER BY id`
      ).pipe(Effect.flatMap(decodeSpent), Effect.orDie),
      cancel: (id) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          write((run) => run(sql`DELETE FROM pair_codes WHERE id = ${id} AND ${redeemable(now)} RETURNING id`))
        ).pipe(
          Effect.map((cancelled) => cancelled.length === 1),
          Effect.mapError(failure)
        ),
      count: (now) =>
        read(sql<{ readonly count: number }>`SELECT count(*) AS count FROM pair_codes WHERE ${redeemable(now)}`).pipe(
          Effect.map(([row]) => row?.count ?? 0),
          Effect.orDie
        )
    }
  })

/** Pairing codes in a database; `key` is the hub's secret of 32 bytes. */
export const layer = (key: Redacted.Redacted<Uint8Array>): Layer.Layer<PairCodes, never, Database> =>
  Layer.effect(PairCodes, make(key))
