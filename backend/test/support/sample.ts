/** The sum of the samples of this name that have these labels, in a /metrics page. undefined: there is none. */
export function sample(page: string, name: string, labels: Record<string, string> = {}): number | undefined {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  const lines = page
    .split('\n')
    .filter((line) => /^\w+/.exec(line)?.[0] === name && wanted.every((pair) => line.includes(pair)));
  return lines.length === 0 ? undefined : lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
