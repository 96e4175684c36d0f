import jsonpatch from "fast-json-patch";

/** One operation of a JSON patch (RFC 6902). */
export type PatchOperation = ReturnType<typeof jsonpatch.compare>[number];

/** The JSON patch (RFC 6902) that turns `before` into `after`; empty when they are equal. */
export function diff(before: object, after: object): PatchOperation[] {
  return jsonpatch.compare(before, after);
}
