/** Walking a list page by page while others write: nothing twice, and nothing missed that was there throughout. */
import { sql } from 'kysely';
import { asAdmin, nextOf, useApi } from './support/api.ts';

const ROWS = 100_000;
const api = useApi();
const { at } = api;

interface List {
  path: string;
  /** Made by one statement, so that all have the same created_at. */
  fill: string;
  keyOf: (row: never) => string | number;
  rowsOf?: (body: never) => never[];
  insert: (n: number) => [path: string, body: object];
  /** None: the API deletes no such row, so PostgreSQL does. */
  remove?: (key: string | number) => string;
  table: 'items' | 'kv' | 'tasks' | 'users' | 'transactions' | 'products';
}
const byId = (row: { id: string | number }) => row.id;
const generated = `from generate_series(1, ${ROWS}) n`;

const LISTS: Record<string, List> = {
  items: {
    path: '/items',
    table: 'items',
    fill: `insert into items (title) select 'item ' || n ${generated}`,
    keyOf: byId,
    insert: (n) => ['/items', { title: `new ${n}` }],
    remove: (id) => `/items/${id}`,
  },
  'key–value pairs': {
    path: '/kv?prefix=walk',
    table: 'kv',
    fill: `insert into kv (key, value) select 'walk ' || n, '' ${generated}`,
    keyOf: (row: { key: string }) => row.key,
    rowsOf: (body: { data: never[] }) => body.data,
    insert: (n) => ['/kv', { key: `walk ${(n * 7919) % ROWS} new`, value: '' }],
    remove: (key) => `/kv?key=${encodeURIComponent(key)}`,
  },
  tasks: {
    path: '/tasks',
    table: 'tasks',
    fill: `insert into tasks (title) select 'task ' || n ${generated}`,
    keyOf: byId,
    rowsOf: (body: { tasks: never[] }) => body.tasks,
    insert: (n) => ['/tasks', { title: `new ${n}` }],
    remove: (id) => `/tasks/${id}`,
  },
  users: {
    path: '/users',
    table: 'users',
    fill: `insert into users (nome, email) select 'user', 'user-' || n || '@example.com' ${generated}`,
    keyOf: byId,
    insert: (n) => ['/users', { nome: 'new', email: `new-${n}@example.com` }],
    remove: (id) => `/users/${id}`,
  },
  transactions: {
    path: '/transactions?user_id=1',
    table: 'transactions',
    fill: `with one as (insert into users (id, nome, email) values (1, 'one', 'one@example.com') returning id)
      insert into transactions (user_id, valor, tipo, descricao) select id, 1, 'c', 'x' from one, generate_series(1, ${ROWS}) n`,
    keyOf: byId,
    insert: () => ['/transactions', { user_id: 1, valor: 1, tipo: 'c', descricao: 'x' }],
  },
  products: {
    path: '/products',
    table: 'products',
    fill: `insert into products (name, price) select 'product', 1 ${generated}`,
    keyOf: byId,
    insert: (n) => ['/products', { name: `new ${n}`, price: 1 }],
    remove: (id) => `/products/${id}`,
  },
};

test.each(Object.entries(LISTS))(
  '%s',
  async (_, list) => {
    await sql.raw(list.fill).execute(api.db);
    await sql`analyze`.execute(api.db);
    const column = list.table === 'kv' ? 'key' : 'id';
    const { rows } = await sql<{
      key: string | number;
    }>`select ${sql.ref(column)} as key from ${sql.table(list.table)}`.execute(api.db);
    const there = new Set(rows.map(({ key }) => key));
    const before = [...there];

    let walking = true;
    let inserted = 0;
    let removed = 0;
    async function disturb(offset: number) {
      for (let n = offset; walking; n += 2) {
        const [path, body] = list.insert(n);
        const request = list.table === 'kv' ? at(n).put(path) : at(n).post(path);
        const { status } = await request.set(asAdmin).send(body);
        expect([200, 201]).toContain(status);
        inserted++;
        const victim = before[(n * 104_729) % before.length] as string | number;
        if (!there.delete(victim)) continue;
        if (list.remove) expect((await at(n).delete(list.remove(victim)).set(asAdmin)).status).toBeLessThan(300);
        else await sql`delete from ${sql.table(list.table)} where id = ${victim}`.execute(api.db);
        removed++;
      }
    }
    const disturbing = [disturb(0), disturb(1)];

    const seen: (string | number)[] = [];
    let page = 0;
    const first = `${list.path}${list.path.includes('?') ? '&' : '?'}limit=200`;
    for (let next: string | undefined = first; next; page++) {
      const response: Awaited<ReturnType<typeof api.api.get>> = await at(page).get(next);
      expect(response.status).toBe(200);
      for (const row of list.rowsOf?.(response.body as never) ?? response.body) seen.push(list.keyOf(row as never));
      next = nextOf(response);
    }
    walking = false;
    await Promise.all(disturbing);

    expect(new Set(seen).size).toBe(seen.length);
    const found = new Set(seen);
    expect([...there].filter((key) => !found.has(key))).toEqual([]);
    // The others were at work all the while.
    expect([page > 400, inserted > 100, removed > 100]).toEqual([true, true, true]);
  },
  120_000,
);
