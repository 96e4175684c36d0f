import { describe, expect, it } from "vitest";
import { NEW, OLD, start } from "./harness.ts";
import { SERVER, fixed, pod, staticEntry } from "./universe.ts";
import type { ResourceInput } from "./universe.ts";

const KIND = "ClusterStaticEntry";

describe("an invalid ClusterStaticEntry", () => {
  it.each<[ResourceInput, string, string]>([
    [{ spiffeID: "" }, "InvalidSpiffeId", "spec.spiffeID: "],
    [
      { spiffeID: "http://example.org/x" },
      "InvalidSpiffeId",
      'spec.spiffeID: SPIFFE ID must begin with "spiffe://"',
    ],
    [
      { spiffeID: "spiffe://example.org/a//b" },
      "InvalidSpiffeId",
      "spec.spiffeID: path cannot contain empty segments",
    ],
    [
      { spiffeID: "spiffe://example.org" },
      "InvalidSpiffeId",
      "spec.spiffeID: a workload's SPIFFE ID needs a path",
    ],
    [
      { spiffeID: "spiffe://other.org/x" },
      "InvalidSpiffeId",
      'spec.spiffeID: "spiffe://other.org/x" is not in the trust domain "example.org"',
    ],
    [{ spiffeID: fixed("signet/operator") }, "InvalidSpiffeId", "spec.spiffeID: "],
    [
      { spiffeID: SERVER },
      "InvalidSpiffeId",
      `spec.spiffeID: "${SERVER}" is reserved: IDs below /spire`,
    ],
    [
      { parentID: SERVER, spiffeID: fixed("spire/agent/x"), selectors: ["k8s_psat:cluster:demo"] },
      "InvalidSpiffeId",
      "spec.spiffeID: ",
    ],
    [{ spiffeID: fixed("{{ .PodMeta.Name }}") }, "InvalidSpiffeId", "spec.spiffeID: path segment"],
    [{ parentID: "" }, "InvalidSpiffeId", "spec.parentID: "],
    [
      { parentID: "spiffe://example.org/" },
      "InvalidSpiffeId",
      "spec.parentID: path cannot have a trailing slash",
    ],
    [{ parentID: "spiffe://example.org" }, "InvalidSpiffeId", "spec.parentID: "],
    [
      { parentID: "spiffe://other.org/spire/server" },
      "InvalidSpiffeId",
      'spec.parentID: "spiffe://other.org/spire/server" is not in the trust domain',
    ],
    [
      { selectors: [] },
      "InvalidSelector",
      "spec.selectors: at least one is needed; without any, every workload would match",
    ],
    [
      { selectors: ["k8s"] },
      "InvalidSelector",
      'spec.selectors[0]: selector "k8s": expected at least one colon',
    ],
    [{ selectors: ["k8s:ns:a", ":x"] }, "InvalidSelector", "spec.selectors[1]: "],
    [{ selectors: ["k8s:"] }, "InvalidSelector", "spec.selectors[0]: "],
    [
      { selectors: ["unix:uid:0"] },
      "InvalidSelector",
      'spec.selectors[0]: selectors of type "unix" are not known',
    ],
    [
      { selectors: ["k8s:container-name:x"] },
      "InvalidSelector",
      'spec.selectors[0]: "k8s:container-name" cannot be decided',
    ],
    [
      { selectors: Array.from({ length: 129 }, (_, n) => `k8s:ns:${n}`) },
      "InvalidSpec",
      "spec.selectors: at most 128 are allowed",
    ],
    [
      { parentID: SERVER, selectors: ["k8s:ns:shop"] },
      "InvalidSelector",
      'spec.selectors[0]: "k8s:ns:shop": nodes have selectors of type "k8s_psat" only',
    ],
    [
      { parentID: SERVER, selectors: ["k8s_psat:agent_pod_name:x"] },
      "InvalidSelector",
      "spec.selectors[0]: ",
    ],
    [{ federatesWith: ["ok.example", "Not OK"] }, "InvalidTrustDomain", "spec.federatesWith[1]: "],
    [
      { federatesWith: Array.from({ length: 1001 }, (_, n) => `td-${n}`) },
      "InvalidSpec",
      "spec.federatesWith: at most 1000 are allowed",
    ],
    [{ x509SVIDTTL: "1" }, "InvalidDuration", "spec.x509SVIDTTL: "],
    [{ x509SVIDTTL: "-1s" }, "InvalidDuration", "spec.x509SVIDTTL: "],
    [{ jwtSVIDTTL: "soon" }, "InvalidDuration", "spec.jwtSVIDTTL: "],
    [{ dnsNames: ["ok", "not_ok"] }, "InvalidDnsName", 'spec.dnsNames[1]: DNS name "not_ok": '],
    [{ dnsNames: [""] }, "InvalidDnsName", 'spec.dnsNames[0]: DNS name "": it is empty'],
    [
      { dnsNames: ["*.a.b", "c.a.b"] },
      "InvalidDnsName",
      'spec.dnsNames: "*.a.b" already covers "c.a.b"',
    ],
    [
      { dnsNames: Array.from({ length: 129 }, (_, n) => `n${n}`) },
      "InvalidSpec",
      "spec.dnsNames: at most 128 are allowed",
    ],
    [{ storeSVID: true }, "NotSupported", "spec.storeSVID: no external store is supported"],
    [{ spiffeID: 5 }, "InvalidSpec", "spec.spiffeID: "],
    [{ parentID: undefined }, "InvalidSpec", "spec.parentID: "],
    [{ selectors: "k8s:ns:shop" }, "InvalidSpec", "spec.selectors: "],
    [{ selectors: [7] }, "InvalidSpec", "spec.selectors[0]: "],
    [{ admin: "yes" }, "InvalidSpec", "spec.admin: "],
    [{ hint: 1 }, "InvalidSpec", "spec.hint: "],
  ])("with %j is refused, and gives nothing", (spec, reason, message) => {
    const { index, ids, status } = start();
    index.applyPod(pod());
    index.applyResource(KIND, staticEntry(spec));
    expect(ids()).toEqual([]);
    expect(status("static")).toMatchObject({
      ready: false,
      reason,
      entry: { rendered: false, masked: false, set: false },
      stats: { podsSelected: 0 },
    });
    expect(status("static")?.message.slice(0, message.length)).toBe(message);
    expect(index.check(KIND, staticEntry(spec))[0]).toMatchObject({ reason });
  });

  it("says all that is wrong at once, the first whole and the others by field", () => {
    const { index, status } = start();
    const spec = {
      spiffeID: "x",
      parentID: "y",
      selectors: ["z"],
      x509SVIDTTL: "?",
      storeSVID: true,
    };
    index.applyResource(KIND, staticEntry(spec));
    expect(index.check(KIND, staticEntry(spec)).map(({ field }) => field)).toEqual([
      "spec.spiffeID",
      "spec.parentID",
      "spec.x509SVIDTTL",
      "spec.storeSVID",
      "spec.selectors[0]",
    ]);
    expect(status("static")?.message).toMatch(
      /^spec\.spiffeID: .*; and 4 more in spec\.parentID, spec\.x509SVIDTTL, spec\.storeSVID, …$/,
    );
  });

  it("names at most twenty problems", () => {
    const { index } = start();
    const selectors = Array.from({ length: 50 }, () => "bad");
    expect(index.check(KIND, staticEntry({ selectors }))).toHaveLength(20);
  });

  it("masks no other, and is valid once it is mended", () => {
    const { index, status, ids } = start();
    index.applyPod(pod());
    index.applyResource(KIND, staticEntry({ name: "old", created: OLD, storeSVID: true }));
    index.applyResource(KIND, staticEntry({ name: "new", created: NEW }));
    expect(status("new")).toMatchObject({ ready: true, entry: { masked: false, set: true } });
    index.applyResource(KIND, staticEntry({ name: "old", created: OLD, generation: 2 }));
    expect(status("new")?.reason).toBe("Masked");
    expect(status("old")).toMatchObject({ ready: true, observedGeneration: 2 });
    expect(ids()).toHaveLength(1);
  });

  it("may say storeSVID: false", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource(KIND, staticEntry({ storeSVID: false }));
    expect(ids()).toHaveLength(1);
  });
});
