import { describe, expect, it } from "vitest";
import { resultFailure } from "../../src/template/field.ts";
import { GO_TYPES } from "../../src/template/go-types.ts";
import { methodOf } from "../../src/template/methods.ts";
import { goType } from "../../src/template/types.ts";

/**
 * What Go could call and Signet refuses when a template is compiled: methods that write into the
 * data or into a buffer of the caller, that need a reader, or that only hold documentation.
 */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  "any type": [
    "GobDecode",
    "MarshalTo",
    "MarshalToSizedBuffer",
    "SwaggerDoc",
    "Unmarshal",
    "UnmarshalBinary",
    "UnmarshalCBOR",
    "UnmarshalJSON",
    "UnmarshalQueryParameter",
    "UnmarshalText",
  ],
  "inf.Dec": [
    ...["Abs", "Add", "GobEncode", "Mul", "Neg", "QuoExact", "QuoRound", "Round", "Scan", "Set"],
    ...["SetScale", "SetUnscaled", "SetUnscaledBig", "Sub", "UnscaledBig"],
  ],
  "meta.FieldsV1": ["GetRawReader", "MarshalCBOR"],
};

const TYPES = GO_TYPES.map((row) => row.split(" ", 1)[0] ?? "");

function refused(type: string): readonly string[] {
  return [...(REFUSED["any type"] ?? []), ...(REFUSED[type] ?? [])];
}

describe("methods that Go can call", () => {
  it.each(TYPES.filter((type) => goType(type).methods.size > 0))("are all there on %s", (type) => {
    const callable = [...goType(type).methods.values()].filter(
      (method) => resultFailure(method) === undefined,
    );
    const missing = callable.filter(({ name }) => methodOf(goType(type), name) === undefined);
    const names = missing.map(({ name }) => name);
    expect(names).toEqual(names.filter((name) => refused(type).includes(name)));
  });

  it("are refused only where they are not there", () => {
    const wrong = TYPES.flatMap((type) => {
      const known = refused(type).filter((name) => methodOf(goType(type), name) !== undefined);
      return known.map((name) => `${type}.${name}`);
    });
    expect(wrong).toEqual([]);
  });
});
