import { type RawBuilder, type SqlBool, sql } from 'kysely';

/** What every update sets `version` to: the row's new ETag. */
export const nextVersion = sql<number>`nextval('row_version')`;

/** What a write asks of the stored row (If-Match): nothing, that it exists ("*"), or that it has one of these versions. */
export type Precondition = undefined | '*' | readonly string[];

/** The versions that If-Match names, of the form of ours; undefined: any will do. */
export function versionsOf(precondition: Precondition): readonly string[] | undefined {
  if (precondition === undefined || precondition === '*') return undefined;
  return precondition.filter((version) => /^[1-9]\d{0,17}$/.test(version));
}

/** The precondition as a condition of the write itself: checked and written in one statement, nobody can come between. */
export function versionIs(versions: readonly string[] | undefined): RawBuilder<SqlBool> {
  return versions === undefined ? sql`true` : sql`version = any(${versions}::bigint[])`;
}

/** The same question of a row that was read. */
export function isVersion(precondition: Precondition, version: number): boolean {
  return precondition === undefined || precondition === '*' || precondition.includes(`${version}`);
}
