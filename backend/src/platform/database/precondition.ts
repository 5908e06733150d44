import { type RawBuilder, type SqlBool, sql } from 'kysely';

/** What every update sets `version` to: the row's new ETag. */
export const nextVersion = sql<number>`nextval('row_version')`;

/** What a write asks of the stored row (If-Match): nothing, that it exists ("*"), or that it has one of these versions. */
export type Precondition = undefined | '*' | readonly string[];

/** The precondition as a condition of the write itself: checked and written in one statement, nobody can come between. */
export function versionMatches(precondition: Precondition): RawBuilder<SqlBool> {
  if (precondition === undefined || precondition === '*') return sql`true`;
  // Tags of another form than ours name no version of this row.
  const versions = precondition.filter((version) => /^[1-9]\d{0,17}$/.test(version));
  return sql`version = any(${versions}::bigint[])`;
}

/** The same question of a row that was read. */
export function isVersion(precondition: Precondition, version: number): boolean {
  return precondition === undefined || precondition === '*' || precondition.includes(`${version}`);
}
