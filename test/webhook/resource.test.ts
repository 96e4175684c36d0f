import { describe, expect, it } from "vitest";
import { classNameOf, isNodeAlias, readKind, readResource } from "../../src/webhook/resource.ts";
import { parseReview } from "../../src/webhook/review.ts";
import { resourceReview } from "./previews.ts";
import { reviewOf } from "./reviews.ts";

const request = (...args: Parameters<typeof resourceReview>) =>
  parseReview(JSON.stringify(resourceReview(...args)));
const read = (spec: unknown) => readResource(request({ spec }));

describe("readKind", () => {
  it.each(["ClusterSPIFFEID", "ClusterStaticEntry", "ClusterFederatedTrustDomain"])(
    "knows a %s",
    (kind) => {
      expect(readKind(request({}, { kind }))).toBe(kind);
    },
  );

  it.each([
    { group: "", version: "v1", kind: "Pod" },
    { group: "other.example", version: "v1", kind: "ClusterSPIFFEID" },
  ])("refuses %o, which is not validated here", (kind) => {
    const review = parseReview(JSON.stringify(reviewOf({}, { kind })));
    expect(() => readKind(review)).toThrow(`cannot validate a ${kind.kind}`);
  });
});

describe("readResource", () => {
  it("keeps the object whole", () => {
    const object = {
      metadata: { name: "shop", generation: 3, annotations: { a: "b" } },
      spec: { ttl: "1h", unknown: [1] },
      status: { stats: {} },
    };
    expect(readResource(request(object))).toEqual(object);
  });

  it("takes the name from the request where the object has none", () => {
    expect(readResource(request({ metadata: {} }, { name: "given" })).metadata.name).toBe("given");
  });

  it.each([
    [null, "(root)"],
    [{ metadata: { name: 1 } }, "metadata.name"],
    [{ metadata: { annotations: { a: 1 } } }, "metadata.annotations.a"],
  ])("refuses %j and names the field", (object, field) => {
    const kind = { group: "spire.spiffe.io", version: "v1alpha1", kind: "ClusterSPIFFEID" };
    const review = parseReview(JSON.stringify(reviewOf(object, { kind })));
    expect(() => readResource(review)).toThrow(`not a ClusterSPIFFEID: ${field}: `);
  });
});

describe("a resource's class", () => {
  it.each([
    [{ className: "signet" }, "signet"],
    [{}, ""],
    [{ className: 7 }, ""],
    [undefined, ""],
    [null, ""],
  ])("in the spec %j is %j", (spec, className) => {
    expect(classNameOf(read(spec))).toBe(className);
  });
});

it.each([
  ["spiffe://example.org/spire/server", true],
  ["spiffe://example.org/spire/agent/x", false],
  [undefined, false],
])("an entry with the parent %j is an alias of nodes: %j", (parentID, alias) => {
  expect(isNodeAlias(read({ parentID }))).toBe(alias);
});
