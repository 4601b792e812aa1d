import { getHealth } from '@holdfast/contracts';
import { sql } from 'kysely';
import { addRoute, type Routes } from '../http/route.ts';

export function addHealthRoutes(routes: Routes): void {
  const { services } = routes;
  addRoute(routes, getHealth, async () => {
    await sql`select`.execute(services.database.db);
    return { status: 'ok' as const, version: services.version };
  });
}
