/** Bootstrap's colours. The name stays beside it: colour alone says nothing to some. */
const COLOURS = ['primary', 'warning', 'success', 'danger', 'info', 'secondary'];

/** By the number at the end of its name: the same on every page. */
export function colourOf(replica: string): string {
  const number = Number(/\d+$/.exec(replica)?.[0] ?? COLOURS.length);
  return COLOURS[(number - 1) % COLOURS.length] as string;
}
