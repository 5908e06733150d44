import type { Route } from '../http/route.ts';

/** Nginx's list of the paths that may pass, as a map from the path to its template (which its log shows as the route). */
export function nginxRoutes(routes: readonly Route[]): string {
  const templates = [...new Set(routes.map((route) => route.template))];
  const lines = templates.map((template) => `    "${pattern(template)}" "${template}";`);
  return [
    '# Made by `npm run openapi` from the route declarations; do not edit.',
    'map $uri $route {',
    '    default "";',
    ...lines,
    '}',
    '',
  ].join('\n');
}

/** A literal path is compared as it is; one with parameters becomes a regular expression. */
function pattern(template: string): string {
  if (!template.includes('{')) return template;
  return `~^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`;
}
