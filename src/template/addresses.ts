import type { Pointer, Slice, Value } from "./value.ts";

/** Made up going up, going down, or refused. */
export type AddressMode = "up" | "down" | "refused";

/** Go 1.26 puts its heap anywhere, so that even the number of digits differs. */
const LOW = 0xc000100000n;
const HIGH = 0x3d2bdaf00000n;
const APART = 16n;

/**
 * Stands in for the addresses that Go prints of pointers, maps and slices, which differ from run
 * to run. What points at one place has one address.
 */
export class Addresses {
  readonly mode: AddressMode;
  readonly #known = new Map<object, Map<string | number, bigint>>();
  #count = 0n;

  constructor(mode: AddressMode) {
    this.mode = mode;
  }

  get used(): boolean {
    return this.#count > 0n;
  }

  /** The address of a value that is not nil. */
  of(value: Value): bigint {
    const [owner, slot] = placeOf(value);
    let slots = this.#known.get(owner);
    if (slots === undefined) {
      slots = new Map();
      this.#known.set(owner, slots);
    }
    const known = slots.get(slot);
    if (known !== undefined) return known;
    const distance = APART * this.#count++;
    const address = this.mode === "up" ? LOW + distance : HIGH - distance;
    slots.set(slot, address);
    return address;
  }
}

function placeOf({ type, raw }: Value): [object, string | number] {
  if (type.kind === "pointer") return [(raw as Pointer).owner, (raw as Pointer).slot];
  if (type.kind === "slice") return [(raw as Slice).array, (raw as Slice).offset];
  return [raw as object, ""];
}
