import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { parseDocuments } from "../../src/cli/documents.ts";

const API = "spire.spiffe.io/v1alpha1";
const web = { apiVersion: API, kind: "ClusterSPIFFEID", metadata: { name: "web" }, spec: { a: 1 } };

describe("a manifest", () => {
  it("holds several documents, of which those of other kinds are passed over", () => {
    const text = `# first
---
${stringify({ ...web, metadata: { name: "web", labels: { a: "b" } }, status: {} })}
---
---
{"apiVersion": "${API}", "kind": "ClusterStaticEntry", "metadata": {"name": "one"}}
---
apiVersion: v1
kind: Secret
metadata: { name: token }
---
apiVersion: other/v1
kind: ClusterSPIFFEID
`;
    expect(parseDocuments(text)).toEqual({
      objects: [
        web,
        { apiVersion: API, kind: "ClusterStaticEntry", metadata: { name: "one" }, spec: undefined },
      ],
      passedOver: ["Secret token", "ClusterSPIFFEID"],
    });
  });

  it("holds the items of a list", () => {
    const trust = { ...web, kind: "ClusterFederatedTrustDomain" };
    const list = { apiVersion: "v1", kind: "List", items: [web, trust] };
    expect(parseDocuments(JSON.stringify(list)).objects).toEqual([web, trust]);
  });

  it.each([
    ["yes", true],
    ["On", true],
    ["n", false],
    ["~", null],
    ["017", 15],
    ["0x1f", 31],
    ["1h", "1h"],
    ["2026-01-01", "2026-01-01"],
    ["12:30:00", "12:30:00"],
    ["'yes'", "yes"],
  ])("reads %s as kubectl does", (written, value) => {
    const text = `apiVersion: ${API}\nkind: ClusterSPIFFEID\nmetadata: { name: web }\nspec: { x: ${written} }`;
    expect(parseDocuments(text).objects[0]?.spec).toEqual({ x: value });
  });

  it.each([
    ["broken YAML", "a: [", "MALFORMED", /line 1/],
    ["a field twice", "kind: a\nkind: b", "MALFORMED", /unique/],
    ["a merge of no mapping", "spec:\n  <<: 0", "MALFORMED", /Merge sources must be maps/],
    ["a text", "hello", "INVALID_SPEC", /not a Kubernetes object/],
    ["a list of texts", "kind: List\nitems: [a]", "INVALID_SPEC", /not a Kubernetes object/],
    ["no name", stringify({ ...web, metadata: {} }), "INVALID_SPEC", /no metadata.name/],
  ])("is refused with %s", (_, text, code, message) => {
    expect(() => parseDocuments(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error,
    );
  });

  it("of YAML gives what was written", () => {
    // YAML 1.1 has a meaning of its own for this key, and no library writes it in quotes.
    const key = fc.string().filter((text) => text !== "<<");
    const spec = fc.dictionary(key, fc.oneof(fc.string(), fc.integer(), fc.boolean()));
    fc.assert(
      fc.property(fc.array(spec, { maxLength: 4 }), (specs) => {
        const text = specs
          .map((spec) => stringify({ ...web, spec }, { version: "1.1" }))
          .join("---\n");
        expect(parseDocuments(text).objects.map(({ spec }) => spec)).toEqual(specs);
      }),
    );
  });

  it("cannot be blown up by aliases", () => {
    const lines = Array.from(
      { length: 30 },
      (_, at) => `a${at + 1}: &a${at + 1} [*a${at}, *a${at}]`,
    );
    expect(() => parseDocuments(`a0: &a0 [x]\n${lines.join("\n")}`)).toThrow(
      expect.objectContaining({
        code: "MALFORMED",
        message: expect.stringMatching(/alias/i) as string,
      }) as Error,
    );
  });
});
