import { describe, expect, it } from "vitest";
import { deliverable } from "../../src/issuer/deliverable.ts";
import { fakeEntry, fakePod, fakeRegistry } from "../fakes/registry.ts";

const pod = fakePod("web");
const { uid } = pod.metadata;
const entries = Array.from({ length: 65 }, (_, at) =>
  fakeEntry(pod, { spiffeId: `spiffe://example.org/${at}` }),
);

describe("what nodes are told of a pod", () => {
  it("is its first 64 entries where more custom resources select it", () => {
    const registry = fakeRegistry();
    const nodes = deliverable(registry);
    registry.setEntries(uid, entries.slice(0, 64));
    expect(nodes.entriesOfPod(uid)).toEqual(entries.slice(0, 64));
    registry.setEntries(uid, entries);
    expect(nodes.entriesOfPod(uid)).toEqual(entries.slice(0, 64));
    expect(registry.entriesOfPod(uid)).toHaveLength(65);
  });

  it("is otherwise what the registry says", () => {
    const registry = fakeRegistry();
    registry.setPod(pod);
    const nodes = deliverable(registry);
    expect(nodes.pod(uid)).toBe(pod);
    expect(nodes.entriesOfPod(uid)).toEqual([]);
  });
});
