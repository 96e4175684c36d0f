import { describe, expect, it } from "vitest";
import { bytesCapacity, capacityOf } from "../../src/template/capacity.ts";
import { goType } from "../../src/template/types.ts";

/** What cap() gave in Go 1.26 for slices that encoding/json had read, by length. */
const READ_BY_GO: readonly [type: string, capacities: Readonly<Record<number, number>>][] = [
  [
    "string",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 16,
      17: 32,
      40: 71,
      70: 71,
      200: 303,
      257: 303,
      300: 303,
      600: 1023,
    },
  ],
  [
    "int32",
    {
      0: 0,
      1: 2,
      2: 2,
      3: 4,
      5: 8,
      9: 16,
      17: 32,
      40: 64,
      70: 128,
      200: 256,
      257: 512,
      300: 512,
      600: 864,
    },
  ],
  [
    "int64",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 16,
      17: 32,
      40: 64,
      70: 128,
      200: 256,
      257: 512,
      300: 512,
      600: 848,
    },
  ],
  [
    "core.Container",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 16,
      17: 33,
      40: 66,
      70: 140,
      200: 281,
      257: 281,
      300: 562,
      600: 903,
    },
  ],
  [
    "core.EnvVar",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 17,
      17: 17,
      40: 76,
      70: 76,
      200: 307,
      257: 307,
      300: 307,
      600: 614,
    },
  ],
  [
    "core.ContainerPort",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 18,
      17: 18,
      40: 73,
      70: 73,
      200: 292,
      257: 292,
      300: 585,
      600: 1024,
    },
  ],
  [
    "core.Toleration",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 17,
      17: 17,
      40: 74,
      70: 74,
      200: 302,
      257: 302,
      300: 302,
      600: 682,
    },
  ],
  [
    "core.Volume",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 18,
      17: 18,
      40: 74,
      70: 74,
      200: 320,
      257: 320,
      300: 320,
      600: 608,
    },
  ],
  [
    "meta.OwnerReference",
    {
      0: 0,
      1: 1,
      2: 2,
      3: 4,
      5: 8,
      9: 17,
      17: 17,
      40: 76,
      70: 76,
      200: 307,
      257: 307,
      300: 307,
      600: 614,
    },
  ],
];

describe("the capacity of a slice", () => {
  it.each(READ_BY_GO)("of %s is what Go's JSON decoder leaves", (type, capacities) => {
    for (const [length, capacity] of Object.entries(capacities)) {
      expect(capacityOf(goType(type), Number(length)), `length ${length}`).toBe(capacity);
    }
  });

  it("of bytes appended at once is the size of their block", () => {
    expect([1, 8, 9, 30, 100].map(bytesCapacity)).toEqual([8, 8, 16, 32, 112]);
  });
});
