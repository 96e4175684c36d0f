import { describe, expect, it } from "vitest";
import { createEntry, entryKey, sameEntries } from "../../src/registration/entry.ts";
import type { EntryContent } from "../../src/registration/entry.ts";

const ONE = { type: "k8s", value: "pod-uid:1" };
const TWO = { type: "k8s", value: "ns:x" };

const content: EntryContent = {
  source: { kind: "ClusterSPIFFEID", name: "a", uid: "u" },
  podUid: "1",
  nodeName: "n",
  spiffeId: "spiffe://a/b",
  parentId: "spiffe://a/p",
  selectors: [ONE, TWO],
  x509SvidTtl: 1,
  jwtSvidTtl: 2,
  dnsNames: ["a", "b"],
  federatesWith: ["x", "y"],
  admin: false,
  downstream: false,
  hint: "",
};
const identity: [string, Partial<EntryContent>][] = [
  ["SPIFFE ID", { spiffeId: "spiffe://a/c" }],
  ["parent ID", { parentId: "spiffe://a/q" }],
  ["selectors", { selectors: [ONE] }],
];
const looks: [string, Partial<EntryContent>][] = [
  ["X509-SVID TTL", { x509SvidTtl: 9 }],
  ["JWT-SVID TTL", { jwtSvidTtl: 9 }],
  ["DNS names", { dnsNames: ["a"] }],
  ["order of DNS names", { dnsNames: ["b", "a"] }],
  ["federatesWith", { federatesWith: ["x"] }],
  ["admin", { admin: true }],
  ["downstream", { downstream: true }],
  ["hint", { hint: "h" }],
];

describe("registration entries", () => {
  it.each(identity)("have another key and ID when the %s differs", (_what, other) => {
    expect(entryKey({ ...content, ...other })).not.toBe(entryKey(content));
    expect(createEntry({ ...content, ...other }).id).not.toBe(createEntry(content).id);
  });

  it.each(looks)("keep key and ID but not the revision when %s differs", (_what, other) => {
    const changed = createEntry({ ...content, ...other });
    expect(entryKey(changed)).toBe(entryKey(content));
    expect(changed.id).toBe(createEntry(content).id);
    expect(changed.revision).not.toBe(createEntry(content).revision);
    expect(sameEntries([changed], [createEntry(content)])).toBe(false);
  });

  it("do not depend on the order of selectors and federated trust domains", () => {
    const shuffled = { ...content, selectors: [TWO, ONE], federatesWith: ["y", "x"] };
    expect(entryKey(shuffled)).toBe(entryKey(content));
    expect(sameEntries([createEntry(shuffled)], [createEntry(content)])).toBe(true);
  });

  it("of two objects share the key but not the ID", () => {
    const other = { ...content, source: { ...content.source, uid: "v" } };
    expect(entryKey(other)).toBe(entryKey(content));
    expect(createEntry(other).id).not.toBe(createEntry(content).id);
  });

  it("have IDs that stay the same from release to release", () => {
    expect(createEntry(content).id).toMatch(/^[0-9a-f]{32}$/);
    expect(createEntry(content).id).toBe("ebbd95ae9834524c3f0addbd794bee4f");
  });
});
