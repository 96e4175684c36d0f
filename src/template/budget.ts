import { SignetError } from "../core/errors.ts";
import { Addresses } from "./addresses.ts";
import { toBytes } from "./bytes.ts";
import type { Limits } from "./limits.ts";

/** A key of a map: its JSON name, and the byte string that Go sees. */
export interface MapKey {
  readonly name: string;
  readonly bytes: string;
}

/** Looking at this many bytes takes as long as making one. */
const SCAN_RATE = 8;
/** Sorting one key of a map takes as long as making this many bytes. */
const KEY_COST = 64;

/** What one rendering has left; throws SignetError TEMPLATE_EXEC when it is used up. */
export class Budget {
  readonly limits: Limits;
  readonly addresses: Addresses;
  readonly #keys = new WeakMap<object, readonly MapKey[]>();
  #steps: number;
  #bytes: number;

  constructor(limits: Limits, addresses = new Addresses("refused")) {
    this.limits = limits;
    this.addresses = addresses;
    this.#steps = limits.steps;
    this.#bytes = limits.workBytes;
  }

  /** What remains, for another execution. */
  again(addresses: Addresses): Budget {
    const rest = new Budget(this.limits, addresses);
    rest.#steps = this.#steps;
    rest.#bytes = this.#bytes;
    return rest;
  }

  /** Counts one evaluated node, or what takes as long as several. */
  step(count = 1): void {
    this.#steps -= count;
    if (this.#steps < 0) throw exceeded(`takes more than ${this.limits.steps} steps`);
  }

  /** Counts bytes of text about to be made. */
  spend(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < 0) throw exceeded(`makes more than ${this.limits.workBytes} bytes of text`);
  }

  /** Counts bytes of text that are only looked at. */
  scan(bytes: number): void {
    this.spend(Math.floor(bytes / SCAN_RATE));
  }

  /** The keys of a map, sorted as Go sorts them; found once and then kept. */
  keysOf(map: object): readonly MapKey[] {
    const known = this.#keys.get(map);
    if (known !== undefined) return known;
    const names = Object.keys(map);
    this.spend(names.length * KEY_COST);
    const keys = names
      .map((name): MapKey => ({ name, bytes: toBytes(name) }))
      .toSorted((a, b) => (a.bytes < b.bytes ? -1 : 1));
    this.#keys.set(map, keys);
    return keys;
  }
}

export function exceeded(what: string): SignetError {
  return new SignetError("TEMPLATE_EXEC", `the template ${what}`, {
    details: { reason: what, limit: true },
  });
}

/** Something Go can do that Signet does not (or that differs from run to run in Go). */
export function unsupported(what: string): SignetError {
  return new SignetError("TEMPLATE_EXEC", `${what} is not supported`, {
    details: { reason: `${what} is not supported`, unsupported: true },
  });
}
