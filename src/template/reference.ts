/** A pointer that is not nil; two are equal when they come from the same place. */
export class Pointer {
  readonly owner: object;
  readonly slot: string | number;
  readonly json: unknown;

  constructor(owner: object, slot: string | number, json: unknown) {
    this.owner = owner;
    this.slot = slot;
    this.json = json;
  }
}

/** A slice that is not nil: a window on an array of JSON values. */
export interface Slice {
  readonly array: readonly unknown[];
  readonly offset: number;
  readonly length: number;
  readonly capacity: number;
}
