/** A kept row is JSON, which does not say what is a time (platform/database/write-outcomes.ts, rowOf): the name of the column does. */
import { sql } from 'kysely';
import { useApi } from './support/api.ts';

const api = useApi();

test('Columns with a time, and no others, have names that end in _at or _em', async () => {
  const { rows } = await sql<{ name: string }>`
    select table_name || '.' || column_name as name from information_schema.columns
    where table_schema = 'public' and table_name not like 'kysely%'
      and (data_type like 'timestamp%') <> (column_name ~ '_(at|em)$')`.execute(api.db);
  expect(rows).toEqual([]);
});
