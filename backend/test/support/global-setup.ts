import { sql } from 'kysely';
import { pino } from 'pino';
import { createDatabase } from '../../src/platform/database/client.ts';
import { migrate } from '../../src/platform/database/migrate.ts';
import { startPostgres, startRedis } from './servers.ts';

/** Random only in form: the throwaway cluster trusts everyone on loopback, and the application's role is what is tested. */
export const PASSWORDS = { app: 'application', metrics: 'statistics' };

/** One PostgreSQL and one Redis for the whole run; a migrated template database, of which each test file gets a copy. */
export default async function setUp(): Promise<void> {
  const [postgres, redis] = await Promise.all([startPostgres({ max_prepared_transactions: '2' }), startRedis()]);
  process.env.TEST_POSTGRES_URL = postgres.adminUrl;
  process.env.TEST_REDIS_URL = redis.url;

  const logger = pino({ level: 'silent' });
  const admin = (database: string) =>
    createDatabase({
      url: `${postgres.adminUrl}/${database}`,
      poolMax: 2,
      applicationName: 'test',
      logger,
      bounded: false,
    });
  const cluster = admin('postgres');
  await sql`create database template`.execute(cluster);
  await cluster.destroy();
  const template = admin('template');
  await migrate(template, PASSWORDS, logger);
  await template.destroy();
}
