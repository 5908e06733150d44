/**
 * JSON schemas for kubeconform, one a kind, from what Kubernetes itself publishes: the description of its API (swagger.json) and the
 * CustomResourceDefinitions of others. Strict: a field that the API does not know is an error, where the API would only drop it.
 *
 *     node kubernetes-schemas.ts FOLDER swagger.json crd.yaml...
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

interface Schema {
  [key: string]: unknown;
  readonly $ref?: string;
  readonly format?: string;
  readonly properties?: Record<string, Schema>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema | boolean;
  readonly 'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

const INT_OR_STRING = { type: ['integer', 'string'] };
const REF = '#/definitions/';

/** @param definitions what `$ref`s are about, which are written out: each schema stands alone */
function strict(schema: Schema, definitions: Record<string, Schema>, above: readonly string[] = []): unknown {
  const name = schema.$ref?.slice(REF.length);
  if (name !== undefined) {
    // The schema of schemas is the one that holds itself.
    return above.includes(name) ? {} : strict(definitions[name] as Schema, definitions, [...above, name]);
  }
  if (schema.format === 'int-or-string' || schema['x-kubernetes-int-or-string']) return INT_OR_STRING;
  if (above.at(-1)?.endsWith('.Quantity')) return { type: ['number', 'string'] };
  const inner = (each: Schema) => strict(each, definitions, above);
  const { description: _, default: __, ...rest } = schema;
  const open = schema['x-kubernetes-preserve-unknown-fields'] || !schema.properties;
  return {
    ...rest,
    ...(schema.properties && {
      properties: Object.fromEntries(Object.entries(schema.properties).map(([key, each]) => [key, inner(each)])),
    }),
    ...(!open && { additionalProperties: false }),
    ...(schema.items && { items: inner(schema.items) }),
    ...(typeof schema.additionalProperties === 'object' && {
      additionalProperties: inner(schema.additionalProperties),
    }),
  };
}

const [folder, swagger, ...customs] = process.argv.slice(2) as [string, string, ...string[]];
/** The name is what .ci/kubernetes tells kubeconform to look for. */
function write(group: string, version: string, kind: string, schema: unknown): void {
  const file = `${kind}-${group ? `${group.split('.')[0]}-` : ''}${version}.json`.toLowerCase();
  writeFileSync(path.join(folder, file), JSON.stringify(schema));
}

mkdirSync(folder, { recursive: true });
const { definitions } = JSON.parse(readFileSync(swagger, 'utf8')) as { definitions: Record<string, Schema> };
for (const [name, schema] of Object.entries(definitions)) {
  const kinds = schema['x-kubernetes-group-version-kind'] ?? [];
  const [only] = kinds;
  if (kinds.length === 1 && only && !name.endsWith('List')) {
    write(only.group, only.version, only.kind, strict(schema, definitions, [name]));
  }
}
for (const file of customs) {
  for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
    const { spec } = document.toJS() as {
      spec: {
        group: string;
        names: { kind: string };
        versions: readonly { name: string; schema: { openAPIV3Schema: Schema } }[];
      };
    };
    for (const version of spec.versions) {
      const schema = version.schema.openAPIV3Schema;
      const own = { ...schema, properties: { ...schema.properties, metadata: {} } };
      write(spec.group, version.name, spec.names.kind, strict(own, {}));
    }
  }
}
