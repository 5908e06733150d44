import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { notFound } from '../../platform/http/errors.ts';
import { Joi } from '../../platform/http/joi.ts';
import { type Route, route, routes } from '../../platform/http/route.ts';
import { openApiDocument } from '../../platform/openapi/document.ts';

const { resolve } = createRequire(import.meta.url);

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Tandem API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" href="/docs/favicon-32x32.png">
  </head>
  <body>
    <div id="ui"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`;
const START = `SwaggerUIBundle({ url: '/openapi.json', dom_id: '#ui', deepLinking: true, validatorUrl: null });\n`;

/** The page loads nothing from anywhere else; Swagger UI sets inline styles, so these are allowed, scripts are not. */
const CONTENT_SECURITY_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

const TYPES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
  'start.js': 'text/javascript; charset=utf-8',
} as const;
type FileName = keyof typeof TYPES;

const isFile = (name: string): name is FileName => Object.hasOwn(TYPES, name);

export function docsRoutes(endpoints: () => readonly Route[]) {
  // Read once and kept: they never change while the process lives.
  const files = new Map<FileName, { bytes: Buffer; version: string }>();
  const file = (name: FileName) => {
    let found = files.get(name);
    if (!found) {
      const bytes = name === 'start.js' ? Buffer.from(START) : readFileSync(resolve(`swagger-ui-dist/${name}`));
      found = { bytes, version: createHash('sha256').update(bytes).digest('base64url') };
      files.set(name, found);
    }
    return found;
  };
  let document: unknown;
  return routes('Documentation', [
    route({
      method: 'get',
      path: '/openapi.json',
      summary: 'This API as OpenAPI 3.1, made from the declarations that validate the requests',
      replies: { 200: { description: 'The document', schema: Joi.object().unknown().example({ openapi: '3.1.0' }) } },
      handle: () => {
        document ??= openApiDocument(endpoints());
        return { status: 200, body: document };
      },
    }),
    route({
      method: 'get',
      path: '/docs',
      summary: 'This API as an interactive page',
      replies: { 200: { description: 'The page', type: 'text/html', headers: ['Content-Security-Policy'] } },
      handle: () => ({
        status: 200,
        body: Buffer.from(PAGE),
        headers: { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': CONTENT_SECURITY_POLICY },
      }),
    }),
    route({
      method: 'get',
      path: '/docs/:file',
      summary: 'A file of the interactive page',
      input: {
        params: Joi.object<{ file: string }, true>({ file: Joi.string().required().example('swagger-ui.css') }),
      },
      conditional: true,
      replies: { 200: { description: 'The file', type: '*/*' } },
      problems: { 404: 'There is no such file' },
      handle: ({ params }) => {
        if (!isFile(params.file)) throw notFound('file');
        const { bytes, version } = file(params.file);
        return { status: 200, body: bytes, headers: { 'Content-Type': TYPES[params.file] }, version };
      },
    }),
  ]);
}
