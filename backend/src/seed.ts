/**
 * Makes the five clients of the Rinha de Backend 2024-Q1, where they are missing. With --reset their transactions are
 * deleted and their balances set to 0, which is where its load test begins.
 */
import { loadConfig } from './config.ts';
import { resetClients, seedClients } from './features/accounts/accounts.seed.ts';
import { createDatabase } from './platform/database/client.ts';
import { createLogger } from './platform/logger.ts';

const logger = createLogger('seed');
const [option, ...more] = process.argv.slice(2);
if ((option !== undefined && option !== '--reset') || more.length > 0) {
  logger.fatal('the only option is --reset');
  process.exit(2);
}
const db = createDatabase({
  url: loadConfig(process.env).DATABASE_URL,
  poolMax: 1,
  applicationName: 'seed',
  logger,
  bounded: false, // a long test leaves many transactions to delete
});
try {
  const made = await seedClients(db);
  if (option === '--reset') await resetClients(db);
  logger.info({ made, reset: option === '--reset' }, 'clients 1 to 5 are there');
} catch (error) {
  logger.fatal(error, 'seeding failed');
  process.exitCode = 1;
} finally {
  await db.destroy();
}
