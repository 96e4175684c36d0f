import { describe, expect, it } from "vitest";
import { compileLabelSelector } from "../../src/api/label-selector.ts";
import type { LabelSelectorSpec } from "../../src/api/schemas.ts";

const compile = (spec: LabelSelectorSpec | undefined) =>
  compileLabelSelector(spec, "spec.podSelector");
const expression = (key: string, operator: string, values?: string[]) =>
  compile({ matchExpressions: [{ key, operator, ...(values ? { values } : {}) }] });

describe("label selectors", () => {
  it("match everything when left out or empty", () => {
    expect(compile(undefined).matches(undefined)).toBe(true);
    expect(compile({}).matches({ a: "b" })).toBe(true);
    expect(compile({ matchLabels: {}, matchExpressions: [] }).matches({})).toBe(true);
  });

  it("require every label of matchLabels with its value", () => {
    const selector = compile({ matchLabels: { app: "web", "example.org/tier": "" } });
    expect(selector.matches({ app: "web", "example.org/tier": "", other: "x" })).toBe(true);
    expect(selector.matches({ app: "web" })).toBe(false);
    expect(selector.matches({ app: "api", "example.org/tier": "" })).toBe(false);
  });

  it.each([
    ["In", ["a", "b"], { k: "b" }, true],
    ["In", ["a", "b"], { k: "c" }, false],
    ["In", ["a"], {}, false],
    ["NotIn", ["a"], { k: "a" }, false],
    ["NotIn", ["a"], { k: "b" }, true],
    ["NotIn", ["a"], {}, true],
    ["Exists", undefined, { k: "" }, true],
    ["Exists", [], {}, false],
    ["DoesNotExist", undefined, {}, true],
    ["DoesNotExist", undefined, { k: "" }, false],
  ] as [string, string[] | undefined, Record<string, string>, boolean][])(
    "%s %j on %j gives %s",
    (operator, values, labels, expected) => {
      expect(expression("k", operator, values).matches(labels)).toBe(expected);
    },
  );

  it("need all conditions at once", () => {
    const selector = compile({
      matchLabels: { a: "1" },
      matchExpressions: [{ key: "b", operator: "Exists" }],
    });
    expect(selector.matches({ a: "1", b: "x" })).toBe(true);
    expect(selector.matches({ b: "x" })).toBe(false);
  });

  it("do not find labels on the prototype of an object", () => {
    expect(expression("constructor", "Exists").matches({})).toBe(false);
    expect(expression("constructor", "DoesNotExist").matches({})).toBe(true);
  });

  it("say which condition is not met", () => {
    const selector = compile({ matchLabels: { app: "web" } });
    expect(selector.unmet({ app: "web" })).toBeUndefined();
    expect(selector.unmet({})).toBe("it requires app=web, the label is missing");
    expect(selector.unmet({ app: "api" })).toBe('it requires app=web, the label is "api"');
  });

  it("offer an anchor only where a label must be there", () => {
    expect(compile({ matchLabels: { app: "web" } }).anchor).toEqual({
      key: "app",
      values: ["web"],
    });
    expect(expression("k", "In", ["a", "b"]).anchor).toEqual({ key: "k", values: ["a", "b"] });
    expect(expression("k", "NotIn", ["a"]).anchor).toBeUndefined();
    expect(expression("k", "DoesNotExist").anchor).toBeUndefined();
    expect(expression("k", "Exists").anchor).toEqual({ key: "k" });
    const both = [
      { key: "a", operator: "Exists" },
      { key: "b", operator: "In", values: ["c"] },
    ];
    expect(compile({ matchExpressions: both }).anchor).toEqual({ key: "b", values: ["c"] });
  });

  const long = "a".repeat(64);
  it.each([
    [
      { matchExpressions: [{ key: "k", operator: "in", values: ["a"] }] },
      "matchExpressions[0].operator",
    ],
    [
      { matchExpressions: [{ key: "k", operator: "Gt", values: ["1"] }] },
      "matchExpressions[0].operator",
    ],
    [{ matchExpressions: [{ key: "k", operator: "In" }] }, "matchExpressions[0].values"],
    [
      { matchExpressions: [{ key: "k", operator: "NotIn", values: [] }] },
      "matchExpressions[0].values",
    ],
    [
      { matchExpressions: [{ key: "k", operator: "Exists", values: ["a"] }] },
      "matchExpressions[0].values",
    ],
    [{ matchExpressions: [{ key: "", operator: "Exists" }] }, "matchExpressions[0].key"],
    [{ matchExpressions: [{ key: "-k", operator: "Exists" }] }, "matchExpressions[0].key"],
    [{ matchExpressions: [{ key: "a/b/c", operator: "Exists" }] }, "matchExpressions[0].key"],
    [{ matchExpressions: [{ key: "Upper.io/x", operator: "Exists" }] }, "matchExpressions[0].key"],
    [{ matchExpressions: [{ key: "/x", operator: "Exists" }] }, "matchExpressions[0].key"],
    [{ matchExpressions: [{ key: "x/", operator: "Exists" }] }, "matchExpressions[0].key"],
    [
      { matchExpressions: [{ key: "k", operator: "In", values: ["ok", "a b"] }] },
      "matchExpressions[0].values[1]",
    ],
    [{ matchLabels: { [long]: "x" } }, `matchLabels["${long}"]`],
    [{ matchLabels: { k: long } }, 'matchLabels["k"]'],
  ] as [LabelSelectorSpec, string][])("refuse %j and name the field", (spec, field) => {
    expect(() => compile(spec)).toThrow(`spec.podSelector.${field}: `);
  });

  it("accept keys and values at their limits", () => {
    const key = `${"a".repeat(63)}.example.org/${"b".repeat(63)}`;
    expect(
      compile({ matchLabels: { [key]: "c".repeat(63) } }).matches({ [key]: "c".repeat(63) }),
    ).toBe(true);
  });
});
