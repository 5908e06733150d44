/** The one-shot process that runs before the replicas: roles, then migrations. Exit code 0: the database is up to date. */
import { setTimeout as sleep } from 'node:timers/promises';
import { loadMigrationConfig } from './config.ts';
import { createDatabase } from './platform/database/client.ts';
import { isNotUp } from './platform/database/errors.ts';
import { migrate } from './platform/database/migrate.ts';
import { createLogger } from './platform/logger.ts';

const logger = createLogger('migrate');
const config = loadMigrationConfig(process.env);
const db = createDatabase({
  url: config.DATABASE_ADMIN_URL,
  poolMax: 2, // one looks for whom the other waits
  applicationName: 'migrate',
  logger,
  // An index on a large table may take its time; nobody waits for an answer here.
  bounded: false,
});
/** How long PostgreSQL's first start may take, in milliseconds, where nobody has waited for it before (Kubernetes). */
const PATIENCE_MS = 120_000;

async function migrateOnceItIsUp(): Promise<string[]> {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    try {
      const passwords = { app: config.DATABASE_APP_PASSWORD, metrics: config.DATABASE_METRICS_PASSWORD };
      return await migrate(db, passwords, logger);
    } catch (error) {
      if (!isNotUp(error) || performance.now() > end) throw error;
      logger.info({ err: error }, 'waiting for PostgreSQL');
      await sleep(1_000);
    }
  }
}

try {
  const applied = await migrateOnceItIsUp();
  logger.info({ applied }, applied.length > 0 ? 'migrations applied' : 'nothing to migrate');
} catch (error) {
  logger.fatal(error, 'migration failed');
  process.exitCode = 1;
} finally {
  await db.destroy();
}
