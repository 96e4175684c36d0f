import { describe, expect, it } from "vitest";
import { wildcardOverlap } from "../../src/registration/dns-name.ts";

describe("DNS names of SVIDs", () => {
  it("may not repeat what a wildcard among them covers", () => {
    expect(wildcardOverlap(["example.com", "*.example.com"])).toBeUndefined();
    expect(wildcardOverlap(["*.example.com", "foo.bar.example.com"])).toBeUndefined();
    expect(wildcardOverlap(["foo.example.com", "*.example.com"])).toMatch(
      /already covers "foo\.example\.com"/,
    );
  });
});
