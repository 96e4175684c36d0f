import type { ObjectMeta } from "./objects.ts";

interface Replacing<T> {
  readonly keyOf: (object: T) => string;
  readonly remove: (object: T) => void;
  readonly apply: (object: T) => void;
}

/** Makes `objects` all that there are: removes each known one whose key none of them has, then applies them. */
export function replaceObjects<T>(
  known: Iterable<T>,
  objects: readonly T[],
  { keyOf, remove, apply }: Replacing<T>,
): void {
  const kept = new Set(objects.map(keyOf));
  for (const object of [...known]) if (!kept.has(keyOf(object))) remove(object);
  for (const object of objects) apply(object);
}

export function nameOf({ metadata }: { readonly metadata: ObjectMeta }): string {
  return metadata.name;
}

export function uidOf({ metadata }: { readonly metadata: ObjectMeta }): string {
  return metadata.uid;
}
