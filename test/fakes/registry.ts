import type { EntryRegistry, RegistryListener } from "../../src/issuer/ports.ts";
import { createEntry } from "../../src/registration/entry.ts";
import type { RegistrationEntry } from "../../src/registration/entry.ts";
import type { PodObject } from "../../src/registration/objects.ts";
import type { BundleDocument } from "../../src/spiffe/bundle-document.ts";

/** A registry that is told what it holds, and tells its listeners as the real one does. */
export interface FakeRegistry extends EntryRegistry {
  /** What the API server knows, whether or not the cache does. */
  readonly api: Map<string, PodObject>;
  setPod(pod: PodObject): void;
  setEntries(podUid: string, entries: readonly RegistrationEntry[]): void;
  removePod(uid: string): void;
  /** Sets the bundle of a foreign trust domain; undefined: it is not known any more. */
  setForeignBundle(trustDomain: string, bundle: BundleDocument | undefined): void;
}

export function fakeRegistry(): FakeRegistry {
  const pods = new Map<string, PodObject>();
  const entries = new Map<string, readonly RegistrationEntry[]>();
  const listeners = new Set<Partial<RegistryListener>>();
  const api = new Map<string, PodObject>();
  const foreign = new Map<string, BundleDocument>();
  return {
    api,
    foreignBundles: () => foreign,
    pod: (uid) => pods.get(uid),
    entriesOfPod: (uid) => entries.get(uid) ?? [],
    podsOfNode: (node) =>
      [...pods.values()]
        .filter((pod) => pod.spec.nodeName === node)
        .map((pod) => ({ pod, entries: entries.get(pod.metadata.uid) ?? [] })),
    explainPod: () => [
      {
        kind: "ClusterSPIFFEID",
        rule: "web",
        ruleUid: "u",
        matched: false,
        selects: "namespace",
        clause: "podSelector does not match",
      },
    ],
    fetchPod: async (namespace, name) => api.get(`${namespace}/${name}`),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    setPod(pod) {
      pods.set(pod.metadata.uid, pod);
      if (pod.metadata.deletionTimestamp !== undefined) {
        for (const listener of listeners) listener.podEnding?.(pod.metadata.uid);
      }
    },
    setEntries(podUid, next) {
      entries.set(podUid, next);
      const node = pods.get(podUid)?.spec.nodeName ?? "";
      for (const listener of listeners) listener.entriesChanged?.(podUid, node);
    },
    setForeignBundle(trustDomain, bundle) {
      if (bundle) foreign.set(trustDomain, bundle);
      else foreign.delete(trustDomain);
      for (const listener of listeners) listener.foreignBundleChanged?.(trustDomain);
    },
    removePod(uid) {
      pods.delete(uid);
      entries.delete(uid);
      for (const listener of listeners) listener.podEnding?.(uid);
    },
  };
}

export function fakePod(name: string, nodeName = "node-a"): PodObject {
  return {
    metadata: { name, namespace: "shop", uid: `uid-${name}` },
    spec: { nodeName, serviceAccountName: "default" },
    status: { phase: "Pending" },
  };
}

export function fakeEntry(
  pod: PodObject,
  overrides: Partial<RegistrationEntry> = {},
): RegistrationEntry {
  return createEntry({
    source: { kind: "ClusterSPIFFEID", name: "web", uid: "uid-cr" },
    podUid: pod.metadata.uid,
    nodeName: pod.spec.nodeName ?? "",
    spiffeId: `spiffe://example.org/ns/shop/pod/${pod.metadata.name}`,
    parentId: "spiffe://example.org/spire/agent/k8s_psat/kind/uid-node-a",
    selectors: [{ type: "k8s", value: `pod-uid:${pod.metadata.uid}` }],
    x509SvidTtl: 0,
    jwtSvidTtl: 0,
    dnsNames: [],
    federatesWith: [],
    admin: false,
    downstream: false,
    hint: "",
    ...overrides,
  });
}
