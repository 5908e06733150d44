import { type Compilable, CompiledQuery, type Kysely, NoResultError, type QueryNode } from 'kysely';
import { wires } from './client.ts';
import type { Database } from './schema.ts';

/** Stands for a value while a statement is built. */
class Placeholder {
  readonly field: string;
  constructor(field: string) {
    this.field = field;
  }
  [Symbol.toPrimitive](): never {
    throw new Error(`a prepared statement must not look at "${this.field}": it is built before there is a value`);
  }
  toJSON(): never {
    return this[Symbol.toPrimitive]();
  }
}

/**
 * A statement that is built once for each set of fields, not with each request: Kysely takes as long for that as PostgreSQL to
 * run it. Reads of one turn of the event loop are sent together (wire.ts). `build` gets placeholders instead of values, and must
 * only pass them on: a comparison or `??` would be decided once for all.
 */
export function prepared<Fields extends object, Row>(build: (db: Kysely<Database>, fields: Fields) => Compilable<Row>) {
  const statements = new Map<string, CompiledQuery<Row>>();

  function statementOf(db: Kysely<Database>, names: string[]): CompiledQuery<Row> {
    const known = statements.get(names.join());
    if (known) return known;
    const sorted = names.toSorted(); // a client's order must not make statements of its own
    const placeholders = Object.fromEntries(sorted.map((name) => [name, new Placeholder(name)]));
    const built = statements.get(sorted.join()) ?? build(db, placeholders as Fields).compile();
    statements.set(sorted.join(), built).set(names.join(), built);
    return built;
  }

  /** As in Kysely, an undefined field is none: the column then has its default. */
  const namesOf = (fields: Fields) => Object.keys(fields).filter((name) => fields[name as keyof Fields] !== undefined);

  /** @param check of a statement that changes rows: throws if it must not be sent any more */
  async function execute(db: Kysely<Database>, fields: Fields, check?: () => void): Promise<Row[]> {
    const { sql, parameters, query } = statementOf(db, namesOf(fields));
    const values = parameters.map((it) => (it instanceof Placeholder ? fields[it.field as keyof Fields] : it));
    const wire = wires.get(db);
    if (wire && query.kind === 'SelectQueryNode') return (await wire.read(sql, values)).rows;
    if (wire && check) return (await wire.write(sql, values, check)).rows;
    check?.();
    return (await db.executeQuery<Row>(CompiledQuery.raw(sql, values))).rows;
  }

  async function executeTakeFirst(db: Kysely<Database>, fields: Fields, check?: () => void): Promise<Row | undefined> {
    return (await execute(db, fields, check))[0];
  }

  /** @throws NoResultError */
  async function executeTakeFirstOrThrow(db: Kysely<Database>, fields: Fields): Promise<Row> {
    const row = await executeTakeFirst(db, fields);
    if (row === undefined) throw new NoResultError(statementOf(db, namesOf(fields)).query as QueryNode);
    return row;
  }

  return { execute, executeTakeFirst, executeTakeFirstOrThrow };
}
