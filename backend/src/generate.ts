/** Writes what is made from the route declarations. With --check it writes nothing and fails when a file is out of date. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { apiRoutes } from './app.ts';
import type { Deps } from './platform/deps.ts';
import { createMetrics } from './platform/metrics/metrics.ts';
import { openApiDocument } from './platform/openapi/document.ts';
import { nginxRoutes } from './platform/openapi/nginx-routes.ts';

const root = path.join(import.meta.dirname, '../..');
// Declaring routes uses no dependency but the registry of the metrics; the others are for their handlers.
const routes = apiRoutes({ metrics: createMetrics('') } as Deps);
const files = {
  'docs/openapi.json': `${JSON.stringify(openApiDocument(routes), null, 2)}\n`,
  'nginx/routes.conf': nginxRoutes(routes),
};

for (const [name, content] of Object.entries(files)) {
  const file = path.join(root, name);
  if (!process.argv.includes('--check')) writeFileSync(file, content);
  else if (readFileSync(file, 'utf8') !== content) {
    console.error(`${name} is out of date: run npm run openapi and commit it`);
    process.exitCode = 1;
  }
}
