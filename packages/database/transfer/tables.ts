/** The tables of a database as they are: what an export holds, and what an import compares with. */
import { type Kysely, sql } from 'kysely';
import { migrationTable } from '../migrations/migrate.ts';
import type { Schema } from '../schema/schema.ts';

export type Table = {
  readonly name: string;
  /** In their order; generated ones are left out. */
  readonly columns: readonly string[];
  readonly primaryKey: readonly string[];
  /** Tables whose rows must be there before. */
  readonly references: readonly string[];
};

/** All but the list of migrations, each after those it refers to. */
export async function readTables(db: Kysely<Schema>): Promise<readonly Table[]> {
  const { rows } = await sql<Table>`
    select c.relname as name,
      array(select a.attname::text from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        order by a.attnum) as columns,
      array(select a.attname::text from pg_index i, unnest(i.indkey) with ordinality as key(number, position), pg_attribute a
        where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = key.number
        order by key.position) as "primaryKey",
      array(select distinct f.relname::text from pg_constraint k join pg_class f on f.oid = k.confrelid
        where k.conrelid = c.oid and k.contype = 'f' and k.confrelid <> c.oid) as references
    from pg_class c
    where c.relkind = 'r' and c.relnamespace = current_schema()::regnamespace and c.relname <> ${migrationTable}
    order by c.relname`.execute(db);
  return inOrderOfReference(rows);
}

function inOrderOfReference(tables: readonly Table[]): readonly Table[] {
  const ordered: Table[] = [];
  let left = [...tables];
  while (left.length > 0) {
    const waiting = new Set(left.map(({ name }) => name));
    const next = left.filter(({ references }) => !references.some((name) => waiting.has(name)));
    if (next.length === 0) throw new Error(`tables refer to each other in a circle: ${[...waiting].join(', ')}`);
    ordered.push(...next);
    left = left.filter((table) => !next.includes(table));
  }
  return ordered;
}
