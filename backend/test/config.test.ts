import { readFileSync } from 'node:fs';
import path from 'node:path';
import { loadConfig, loadMigrationConfig } from '../src/config.ts';

const ADMIN_TOKEN = 'the-administrator';
const DATABASE_URL = 'postgres://app:secret@localhost/tandem';

test('fills in defaults, converts numbers, ignores the rest of the environment, and cannot be changed', () => {
  const config = loadConfig({ DATABASE_URL, ADMIN_TOKEN, PORT: '3001', HOME: '/root' });
  expect(config).toMatchObject({ DATABASE_URL, PORT: 3001, DATABASE_POOL_MAX: 10, REDIS_URL: '', LOG_LEVEL: 'info' });
  expect(config).not.toHaveProperty('HOME');
  expect(() => Object.assign(config, { PORT: 1 })).toThrow(TypeError);
});

test('names every variable that is wrong, and tells no value', () => {
  const wrong = () =>
    loadConfig({ DATABASE_URL: 'mysql://secret', PORT: 'x', DATABASE_POOL_MAX: '0', ADMIN_TOKEN: 'secret' });
  expect(wrong).toThrow(/DATABASE_URL.*DATABASE_POOL_MAX|PORT.*DATABASE_URL/s);
  expect(wrong).not.toThrow(/secret/);
  expect(() => loadConfig({})).toThrow(/"DATABASE_URL" is required.*"ADMIN_TOKEN" is required/);
  expect(() => loadMigrationConfig({ DATABASE_ADMIN_URL: DATABASE_URL })).toThrow('DATABASE_APP_PASSWORD');
});

test('the image starts a replica as npm does', () => {
  const read = (file: string) => readFileSync(path.join(import.meta.dirname, '..', file), 'utf8');
  const [, command] = /^CMD (\[.*\])$/m.exec(read('Dockerfile')) ?? [];
  expect(JSON.parse(command as string).join(' ')).toBe(JSON.parse(read('package.json')).scripts.start);
});
