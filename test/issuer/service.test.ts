import { createPublicKey, X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseBundleDocument } from "../../src/spiffe/bundle-document.ts";
import type { BundleDocument } from "../../src/spiffe/bundle-document.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type { IssueResponse, NodeUpdate } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { fakeEntry, fakePod } from "../fakes/registry.ts";
import type { TokenFacts } from "../fakes/tokens.ts";
import { AGENT, agentPod, openIssuer, publicKey } from "./fixture.ts";
import type { OpenIssuer } from "./fixture.ts";

let open: OpenIssuer;
let registry: OpenIssuer["registry"];
let api: OpenIssuer["api"];
let client: OpenIssuer["client"];
let waitingRoom: OpenIssuer["waitingRoom"];
let sessions: OpenIssuer["sessions"];
let authority: OpenIssuer["authority"];
let warnings: OpenIssuer["warnings"];
let issues: OpenIssuer["issues"];
let agentHeader: OpenIssuer["agentHeader"];

beforeEach(async () => {
  open = await openIssuer();
  ({ registry, api, client, waitingRoom, sessions, authority, warnings, issues, agentHeader } =
    open);
});
afterEach(() => open.close());

async function attest(
  podUid: string,
  podToken: string,
  options: {
    noWait?: boolean;
    waitMs?: number;
    headers?: Record<string, string>;
    signal?: AbortSignal;
  } = {},
): Promise<IssueResponse> {
  const { noWait = false, waitMs = 20_000, headers = agentHeader, signal } = options;
  return client.unary(
    Issuer.method.attest,
    { podUid, podToken, publicKey, noWait },
    { headers, deadline: Date.now() + waitMs, ...(signal ? { signal } : {}) },
  );
}

const podToken = (name: string, facts: TokenFacts = {}): Promise<string> =>
  api.sign({ podName: name, podUid: `uid-${name}`, nodeName: "node-a", ...facts });

describe("Attest", () => {
  it("issues every entry of the pod for the key it was given", async () => {
    const pod = fakePod("web");
    registry.setPod(pod);
    registry.setEntries("uid-web", [
      fakeEntry(pod, { x509SvidTtl: 120, dnsNames: ["web.shop"] }),
      fakeEntry(pod, { spiffeId: "spiffe://example.org/second", hint: "internal" }),
    ]);
    const response = await attest("uid-web", await podToken("web"));
    expect(response.svids.map((svid) => [svid.spiffeId, svid.hint])).toEqual([
      ["spiffe://example.org/ns/shop/pod/web", ""],
      ["spiffe://example.org/second", "internal"],
    ]);
    const leaf = new X509Certificate(response.svids[0]?.chain[0] ?? Buffer.alloc(0));
    expect(leaf.subjectAltName).toContain("URI:spiffe://example.org/ns/shop/pod/web");
    expect(leaf.publicKey.export({ type: "spki", format: "der" })).toEqual(publicKey);
    const root = new X509Certificate(response.bundle?.x509Authorities[0] ?? Buffer.alloc(0));
    expect(leaf.verify(root.publicKey)).toBe(true);
    expect(leaf.validToDate.getTime() - Date.now()).toBeLessThanOrEqual(120_000);
  });

  it("waits until something selects the pod, and warns the pod meanwhile", async () => {
    const pod = fakePod("web");
    registry.setPod(pod);
    const answer = attest("uid-web", await podToken("web"));
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    expect(warnings[0]).toBe(
      "web NoIdentity waiting for an identity: ClusterSPIFFEID web: podSelector does not match",
    );
    registry.setEntries("uid-web", [fakeEntry(pod)]);
    expect((await answer).svids).toHaveLength(1);
  });

  it("ends with NO_IDENTITY and the reasons before the caller's deadline", async () => {
    registry.setPod(fakePod("web"));
    await expect(attest("uid-web", await podToken("web"), { waitMs: 1500 })).rejects.toMatchObject({
      code: "NO_IDENTITY",
      message: "no identity for pod shop/web: ClusterSPIFFEID web: podSelector does not match",
    });
  });

  it("does not wait when asked not to", async () => {
    registry.setPod(fakePod("web"));
    await expect(attest("uid-web", await podToken("web"), { noWait: true })).rejects.toMatchObject({
      code: "NO_IDENTITY",
    });
  });

  it("sends a waiting caller away as soon as the pod is being deleted", async () => {
    const pod = fakePod("web");
    registry.setPod(pod);
    const answer = attest("uid-web", await podToken("web"));
    const refused = expect(answer).rejects.toMatchObject({ code: "POD_GONE" });
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    registry.setPod({
      ...pod,
      metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
    });
    await refused;
  });

  it("asks the API server when the watch lags behind kubelet", async () => {
    registry.setPod({ ...fakePod("web"), spec: {} });
    registry.api.set("shop/web", fakePod("web"));
    const answer = attest("uid-web", await podToken("web"));
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    expect((await answer).svids).toHaveLength(1);
  });

  it("refuses a pod UID that is gone, also when a successor has its name", async () => {
    registry.api.set("shop/web", {
      ...fakePod("web"),
      metadata: { name: "web", namespace: "shop", uid: "uid-new" },
    });
    await expect(attest("uid-web", await podToken("web"))).rejects.toMatchObject({
      code: "POD_GONE",
    });
  });

  it("refuses a pod of another node, whatever its token says", async () => {
    registry.setPod(fakePod("web", "node-b"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web", "node-b"))]);
    registry.api.set("shop/web", fakePod("web", "node-b"));
    for (const nodeName of ["node-b", "node-a", undefined]) {
      await expect(attest("uid-web", await podToken("web", { nodeName }))).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
      });
    }
  });

  it.each<[string, TokenFacts]>([
    ["another pod's", { podUid: "uid-other" }],
    ["another service account's", { serviceAccount: "admin" }],
    ["another namespace's", { namespace: "other" }],
  ])("refuses %s token", async (_name, facts) => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    await expect(attest("uid-web", await podToken("web", facts))).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
  });

  it("refuses an expired pod token and one for another audience", async () => {
    registry.setPod(fakePod("web"));
    for (const facts of [{ expiresAt: Date.now() - 1000 }, { audience: "vault" }]) {
      await expect(attest("uid-web", await podToken("web", facts))).rejects.toMatchObject({
        code: "UNAUTHENTICATED",
      });
    }
  });

  it("refuses a caller that is not an agent", async () => {
    registry.setPod(fakePod("web"));
    const asPod = { authorization: `Bearer ${await podToken("web")}` };
    await expect(
      attest("uid-web", await podToken("web"), { headers: asPod }),
    ).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    await expect(attest("uid-web", await podToken("web"), { headers: {} })).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
  });

  it("refuses the token of an agent that is gone, or runs on another node by now", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    const gone = { code: "UNAUTHENTICATED" };
    registry.removePod("uid-agent-a");
    await expect(attest("uid-web", await podToken("web"))).rejects.toMatchObject(gone);
    await expect(renew("uid-web")).rejects.toMatchObject(gone);
    registry.setPod(agentPod("node-b"));
    await expect(renew("uid-web")).rejects.toMatchObject(gone);
    registry.api.set("signet-system/agent-a", agentPod());
    expect((await renew("uid-web")).svids).toHaveLength(1);
  });

  it("sends away a caller whose pod ended just before it sat down to wait", async () => {
    registry.api.set("shop/web", fakePod("web"));
    registry.removePod("uid-web");
    await expect(attest("uid-web", await podToken("web"))).rejects.toMatchObject({
      code: "POD_GONE",
    });
  });

  it("ends with UNAVAILABLE when the operator stops, so that the agent tries another", async () => {
    registry.setPod(fakePod("web"));
    const refused = expect(attest("uid-web", await podToken("web"))).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    waitingRoom.close();
    await refused;
  });
});

function renew(podUid: string): Promise<IssueResponse> {
  return client.unary(Issuer.method.renew, { podUid, publicKey }, { headers: agentHeader });
}

describe("Renew", () => {
  it("issues without the pod's token for a pod of the agent's node", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    expect((await renew("uid-web")).svids).toHaveLength(1);
  });

  it("refuses pods of other nodes, gone pods, and pods without an entry", async () => {
    registry.setPod(fakePod("far", "node-b"));
    registry.setEntries("uid-far", [fakeEntry(fakePod("far", "node-b"))]);
    registry.setPod(fakePod("bare"));
    await expect(renew("uid-far")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(renew("uid-gone")).rejects.toMatchObject({ code: "POD_GONE" });
    await expect(renew("uid-bare")).rejects.toMatchObject({ code: "NO_IDENTITY" });
  });

  it("refuses a key that is none", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    const call = client.unary(
      Issuer.method.renew,
      { podUid: "uid-web", publicKey: Buffer.from("key") },
      { headers: agentHeader },
    );
    await expect(call).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

const RSA = {
  kty: "RSA",
  n: "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw",
  e: "AQAB",
};

function foreignBundle(trustDomain: string, sequence = 7): BundleDocument {
  const keys = [{ ...RSA, use: "jwt-svid", kid: "k1", alg: "PS256" }];
  const text = JSON.stringify({ keys, spiffe_sequence: sequence, spiffe_refresh_hint: 60 });
  return parseBundleDocument(text, parseTrustDomain(trustDomain));
}

describe("An answer", () => {
  it("names what each SVID federates with, and carries those bundles that are known", async () => {
    const pod = { ...fakePod("web"), status: { phase: "Running", podIP: "10.1.2.3" } };
    registry.setPod(pod);
    registry.setEntries("uid-web", [
      fakeEntry(pod, { federatesWith: ["b.example", "unknown.example"] }),
      fakeEntry(pod, { spiffeId: "spiffe://example.org/2", federatesWith: ["b.example"] }),
    ]);
    registry.setForeignBundle("b.example", foreignBundle("b.example"));
    registry.setForeignBundle("other.example", foreignBundle("other.example"));
    for (const answer of [await renew("uid-web"), await attest("uid-web", await podToken("web"))]) {
      expect(answer.svids.map(({ federatesWith }) => federatesWith)).toEqual([
        ["b.example", "unknown.example"],
        ["b.example"],
      ]);
      expect(answer.podIp).toBe("10.1.2.3");
      expect(answer.federatedBundles).toHaveLength(1);
      expect(answer.federatedBundles[0]).toMatchObject({
        trustDomain: "b.example",
        x509Authorities: [],
        sequence: 7n,
        refreshHint: 60,
        jwtAuthorities: [{ keyId: "k1", algorithm: "PS256" }],
      });
      const der = Buffer.from(answer.federatedBundles[0]?.jwtAuthorities[0]?.publicKey ?? []);
      const key = createPublicKey({ key: der, type: "spki", format: "der" });
      expect(key.export({ format: "jwk" })).toEqual(RSA);
    }
  });

  it("carries no foreign bundle for entries that federate with none", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    registry.setForeignBundle("b.example", foreignBundle("b.example"));
    const { federatedBundles, podIp } = await renew("uid-web");
    expect([federatedBundles, podIp]).toEqual([[], ""]);
  });

  it("carries the JWT authorities of the own bundle", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    const { bundle } = await renew("uid-web");
    const [own] = authority.get().bundle.jwtAuthorities;
    expect(bundle?.jwtAuthorities).toMatchObject([{ keyId: own?.kid, algorithm: "ES256" }]);
  });
});

describe("The issue log", () => {
  it("is told what a pod was issued, by which call and until when", async () => {
    const pod = fakePod("web");
    registry.setPod(pod);
    registry.setEntries("uid-web", [
      fakeEntry(pod, { x509SvidTtl: 600 }),
      fakeEntry(pod, { spiffeId: "spiffe://example.org/second", x509SvidTtl: 120 }),
    ]);
    const response = await attest("uid-web", await podToken("web"));
    const first = issues.of("uid-web").issued;
    expect(first).toMatchObject({
      by: "attest",
      notAfter: Number(response.svids[1]?.notAfter),
      spiffeIds: ["spiffe://example.org/ns/shop/pod/web", "spiffe://example.org/second"],
    });
    expect(Math.abs(Date.now() - (first?.at ?? 0))).toBeLessThan(10_000);
    await renew("uid-web");
    expect(issues.of("uid-web").issued?.by).toBe("renew");
    expect(issues.of("uid-web").failed).toBeUndefined();
  });

  it("is told why a call failed", async () => {
    registry.setPod(fakePod("web"));
    await expect(renew("uid-web")).rejects.toThrow(/no identity/);
    expect(issues.of("uid-web")).toMatchObject({
      failed: {
        by: "renew",
        code: "NO_IDENTITY",
        message: expect.stringContaining("no identity for pod shop/web") as string,
      },
    });
  });

  it("is told nothing by an agent about pods of another node or unknown ones", async () => {
    registry.setPod(fakePod("far", "node-b"));
    await expect(renew("uid-far")).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(renew("uid-gone")).rejects.toMatchObject({ code: "POD_GONE" });
    expect(issues.size).toBe(0);
  });

  it("is not told that a caller gave up", async () => {
    registry.setPod(fakePod("web"));
    const abort = new AbortController();
    const answer = attest("uid-web", await podToken("web"), { signal: abort.signal });
    const gaveUp = expect(answer).rejects.toMatchObject({ code: "CANCELLED" });
    await expect.poll(() => warnings.length, { timeout: 10_000 }).toBe(1);
    abort.abort();
    await gaveUp;
    // The same connection carries both: what came first is dealt with first.
    registry.setPod(fakePod("other"));
    registry.setEntries("uid-other", [fakeEntry(fakePod("other"))]);
    await renew("uid-other");
    expect(issues.of("uid-web")).toEqual({});
    expect(issues.size).toBe(1);
  });
});

function describeUpdate({ update }: NodeUpdate): string {
  if (update.case === "pod") {
    const { podUid, podIp, entries } = update.value;
    return [podUid, entries.length, ...(podIp === "" ? [] : [podIp])].join(":");
  }
  if (update.case === "federatedBundle") {
    const { trustDomain, x509Authorities, jwtAuthorities } = update.value;
    return `${trustDomain}:${x509Authorities.length}:${jwtAuthorities.length}`;
  }
  if (update.case === "federatedBundleGone") return `${update.value} gone`;
  return update.case ?? "";
}

describe("Watch", () => {
  function watch(): { seen: string[]; ended: Promise<unknown>; stop: () => void } {
    const seen: string[] = [];
    const abort = new AbortController();
    const ended = (async () => {
      const updates = client.stream(
        Issuer.method.watch,
        {},
        { headers: agentHeader, signal: abort.signal },
      );
      for await (const update of updates) seen.push(describeUpdate(update));
    })().catch((error: unknown) => error);
    return { seen, ended, stop: () => abort.abort() };
  }

  it("sends the bundle, the node's pods and synced, then only changes of the node", async () => {
    registry.setPod(fakePod("web"));
    registry.setEntries("uid-web", [fakeEntry(fakePod("web"))]);
    registry.setPod(fakePod("bare"));
    registry.setPod(fakePod("far", "node-b"));
    registry.setEntries("uid-far", [fakeEntry(fakePod("far", "node-b"))]);
    const { seen, stop, ended } = watch();
    await expect.poll(() => seen).toEqual(["bundle", "uid-web:1", "synced"]);
    registry.setEntries("uid-far", []);
    registry.setEntries("uid-web", []);
    await expect.poll(() => seen.slice(3)).toEqual(["uid-web:0"]);
    authority.set({ ...authority.get(), bundle: { ...authority.get().bundle, sequence: 2 } });
    await expect.poll(() => seen.slice(4)).toEqual(["bundle"]);
    stop();
    await ended;
    await expect.poll(() => sessions.size).toBe(0);
  });

  it("sends every foreign bundle before synced, then those that change, and says which are gone", async () => {
    registry.setForeignBundle("b.example", foreignBundle("b.example"));
    const { seen, stop } = watch();
    await expect.poll(() => seen).toEqual(["bundle", "b.example:0:1", "synced"]);
    registry.setForeignBundle("c.example", foreignBundle("c.example"));
    await expect.poll(() => seen.slice(3)).toEqual(["c.example:0:1"]);
    registry.setForeignBundle("b.example", undefined);
    await expect.poll(() => seen.slice(4)).toEqual(["b.example gone"]);
    stop();
  });

  it("sends a foreign bundle that changed often once, as it is now, to an agent that reads slowly", async () => {
    const updates: NodeUpdate["update"][] = [];
    const gate = Promise.withResolvers<void>();
    const abort = new AbortController();
    const served = sessions.serve(
      "node-a",
      async (update) => {
        updates.push(update.update as NodeUpdate["update"]);
        await gate.promise;
      },
      abort.signal,
    );
    for (let sequence = 1; sequence <= 50; sequence += 1) {
      registry.setForeignBundle("b.example", foreignBundle("b.example", sequence));
    }
    gate.resolve();
    await expect.poll(() => updates.length).toBeGreaterThanOrEqual(3);
    abort.abort();
    await served;
    const sequences = updates.flatMap((update) =>
      update.case === "federatedBundle" ? [update.value.sequence] : [],
    );
    expect(sequences).toEqual([50n, 50n]);
  });

  it("sends a pod anew with its address", async () => {
    const pod = fakePod("web");
    registry.setPod(pod);
    registry.setEntries("uid-web", [fakeEntry(pod)]);
    const { seen, stop } = watch();
    await expect.poll(() => seen).toEqual(["bundle", "uid-web:1", "synced"]);
    registry.setPod({ ...pod, status: { phase: "Running", podIP: "10.1.2.3" } });
    registry.setEntries("uid-web", [fakeEntry(pod)]);
    await expect.poll(() => seen.slice(3)).toEqual(["uid-web:1:10.1.2.3"]);
    stop();
  });

  it("ends with UNAVAILABLE when the operator stops", async () => {
    const { seen, ended } = watch();
    await expect.poll(() => seen).toEqual(["bundle", "synced"]);
    sessions.close();
    expect(await ended).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("ends with UNAVAILABLE when the agent's token expires", async () => {
    agentHeader = {
      authorization: `Bearer ${await api.sign({ ...AGENT, expiresAt: Date.now() + 2000 })}`,
    };
    expect(await watch().ended).toMatchObject({ code: "UNAVAILABLE" });
  });
});
