/**
 * What no schema sees in a rendered overlay: an object outside of the namespace, and a ConfigMap that is not there under the name that
 * a pod asks for (kustomize writes hashed names only where it knows both sides).
 *
 *     node kubernetes-references.ts rendered.yaml
 */
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const NAMESPACE = 'tandem';
/** Made by the reader, as README.md says. */
const BY_HAND = ['database-ca'];

const objects = parseAllDocuments(readFileSync(process.argv[2] as string, 'utf8')).map(
  (each) => each.toJS() as KubernetesObject,
);
const maps = objects.filter(({ kind }) => kind === 'ConfigMap').map(({ metadata }) => metadata.name);

/** The names that anything within asks for as `configMap: { name }` or `configMapRef: { name }`. */
function asked(within: unknown): string[] {
  if (typeof within !== 'object' || within === null) return [];
  return Object.entries(within).flatMap(([key, each]) =>
    key === 'configMap' || key === 'configMapRef' ? [each.name as string] : asked(each),
  );
}

const wrong = objects.flatMap((object) => {
  const { kind, metadata } = object;
  const names = asked(object).filter((name) => !maps.includes(name) && !BY_HAND.includes(name));
  return [
    ...(kind !== 'Namespace' && metadata.namespace !== NAMESPACE
      ? [`${kind} ${metadata.name}: not in ${NAMESPACE}`]
      : []),
    ...names.map((name) => `${kind} ${metadata.name}: no ConfigMap ${name}`),
  ];
});
for (const each of wrong) console.error(each);
if (wrong.length > 0 || objects.length === 0 || maps.length === 0) process.exit(1);
