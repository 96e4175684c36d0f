import { describe, expect, it } from "vitest";
import { refusalOf } from "../../src/webhook/refusal.ts";
import { problem } from "./previews.ts";

const TTL = problem("spec.ttl", '"soon" is not a duration');
const TEMPLATE = problem("spec.spiffeIDTemplate", "1:9: unexpected EOF");

describe("refusalOf", () => {
  it("names the object, the field and what is wrong in one sentence", () => {
    expect(refusalOf("ClusterSPIFFEID", "shop", [TTL])).toEqual({
      group: "spire.spiffe.io",
      kind: "ClusterSPIFFEID",
      name: "shop",
      message: 'ClusterSPIFFEID "shop" is invalid: spec.ttl: "soon" is not a duration',
      causes: [{ field: "spec.ttl", message: '"soon" is not a duration' }],
    });
  });

  it("lists several problems on lines of their own", () => {
    const { message, causes } = refusalOf("ClusterSPIFFEID", "shop", [TEMPLATE, TTL]);
    expect(message).toBe(
      'ClusterSPIFFEID "shop" is invalid:\n' +
        "- spec.spiffeIDTemplate: 1:9: unexpected EOF\n" +
        '- spec.ttl: "soon" is not a duration',
    );
    expect(causes.map(({ field }) => field)).toEqual(["spec.spiffeIDTemplate", "spec.ttl"]);
  });

  it("keeps a message whole that does not begin with the field", () => {
    const odd = { reason: "InvalidSelector", field: "spec.podSelector", message: "no such key" };
    expect(refusalOf("ClusterSPIFFEID", "shop", [odd]).causes).toEqual([
      { field: "spec.podSelector", message: "no such key" },
    ]);
  });

  it("cuts what is too long and counts what is too many", () => {
    const problems = Array.from({ length: 30 }, (_, at) =>
      problem(`spec.x[${at}]`, "x".repeat(5000)),
    );
    const { message, causes } = refusalOf("ClusterSPIFFEID", "shop", problems);
    expect(message.length).toBeLessThan(25_000);
    expect(message).toMatch(/x…\n- and 10 more problems$/);
    expect(causes).toHaveLength(21);
    expect(causes.at(-1)).toEqual({ field: "spec", message: "10 more problems" });
  });
});
