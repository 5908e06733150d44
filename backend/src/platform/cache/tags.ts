/**
 * The tags of a collection: one a row, and one for all lists. `written` is what a write of a row changes, also one that removes it; one
 * that makes it changes the lists.
 */
export const collectionTags = (collection: string) => {
  const one = (id: number | string) => `${collection}:${id}`;
  return { lists: collection, one, written: (id: number | string) => [one(id), collection] };
};

/** The field of a list: all of its query, in one order, so that no parameter can be forgotten. */
export const fieldOf = (query: object) => JSON.stringify(Object.entries(query).sort());

/** The label of a tag in the metrics: the part before the colon, the same for all rows of a collection. */
export const labelOf = (tag: string) => tag.split(':', 1)[0] as string;
