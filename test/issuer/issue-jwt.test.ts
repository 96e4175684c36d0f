import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import type { JSONWebKeySet, JWTPayload } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type { IssueJwtResponse } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { bundleDocument } from "../../src/spiffe/bundle.ts";
import { fakeEntry, fakePod } from "../fakes/registry.ts";
import { agentPod, openIssuer } from "./fixture.ts";
import type { OpenIssuer } from "./fixture.ts";

const DEFAULT_ID = "spiffe://example.org/ns/shop/pod/web";
const SECOND_ID = "spiffe://example.org/second";

let issuer: OpenIssuer;
beforeEach(async () => {
  issuer = await openIssuer({
    "example.org/namespace": "{{ .PodMeta.Namespace }}",
    "example.org/team": '{{ index .PodMeta.Labels "team" }}',
  });
});
afterEach(() => issuer.close());

function giveIdentities(): void {
  const pod = fakePod("web");
  issuer.registry.setPod(pod);
  issuer.registry.setEntries("uid-web", [
    fakeEntry(pod),
    fakeEntry(pod, { spiffeId: SECOND_ID, hint: "internal", jwtSvidTtl: 60 }),
  ]);
}

interface Asked {
  readonly podUid?: string;
  readonly audiences?: string[];
  readonly spiffeId?: string;
  readonly headers?: Record<string, string>;
}

function ask({ headers = issuer.agentHeader, ...asked }: Asked = {}): Promise<IssueJwtResponse> {
  const request = { podUid: "uid-web", audiences: ["billing"], ...asked };
  return issuer.client.unary(Issuer.method.issueJwt, request, { headers });
}

/** Verifies as any consumer of the published bundle would. */
async function verify(token: string, audience = "billing"): Promise<JWTPayload> {
  const text = bundleDocument(issuer.authority.get().bundle);
  const { keys } = JSON.parse(text) as JSONWebKeySet;
  // A library takes only keys for signatures, by a name that SPIFFE has another for.
  const jwtKeys = keys
    .filter(({ use }) => use === "jwt-svid")
    .map((key) => ({ ...key, use: "sig" }));
  return (await jwtVerify(token, createLocalJWKSet({ keys: jwtKeys }), { audience })).payload;
}

describe("IssueJwt", () => {
  it("issues a token for every identity of the pod, the default one's first", async () => {
    giveIdentities();
    const { svids } = await ask();
    expect(svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
      [DEFAULT_ID, ""],
      [SECOND_ID, "internal"],
    ]);
    const entries = issuer.registry.entriesOfPod("uid-web");
    for (const [at, svid] of svids.entries()) {
      expect((await verify(svid.token)).sub).toBe(svid.spiffeId);
      expect([svid.entryId, svid.revision]).toEqual([entries[at]?.id, entries[at]?.revision]);
    }
  });

  it("lets the entry's lifetime win over the default, and says when tokens begin and end", async () => {
    giveIdentities();
    const { svids } = await ask();
    const lifetimes = svids.map(({ issuedAt, expiresAt }) => Number(expiresAt - issuedAt));
    expect(lifetimes).toEqual([300_000, 60_000]);
    for (const { token, issuedAt, expiresAt } of svids) {
      const { iat = 0, exp = 0 } = decodeJwt(token);
      expect([iat * 1000, exp * 1000]).toEqual([Number(issuedAt), Number(expiresAt)]);
      expect(Math.abs(Date.now() - iat * 1000)).toBeLessThan(30_000);
    }
  });

  it("puts every audience into the token, in the order they were asked for (WAPI-23)", async () => {
    giveIdentities();
    const audiences = ["b", "https://a.example/x?y#z", "ä"];
    const { svids } = await ask({ audiences });
    expect(decodeJwt(svids[0]?.token ?? "").aud).toEqual(audiences);
    await expect(verify(svids[0]?.token ?? "", "ä")).resolves.toBeDefined();
  });

  it("issues only for the identity that was asked for", async () => {
    giveIdentities();
    const { svids } = await ask({ spiffeId: SECOND_ID });
    expect(svids.map(({ spiffeId }) => spiffeId)).toEqual([SECOND_ID]);
  });

  it("refuses an identity that the pod has not, whoever else has it", async () => {
    giveIdentities();
    const other = fakePod("other");
    issuer.registry.setPod(other);
    issuer.registry.setEntries("uid-other", [fakeEntry(other)]);
    for (const spiffeId of ["spiffe://example.org/ns/shop/pod/other", "spiffe://b.example/x"]) {
      await expect(ask({ spiffeId })).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
        message: `pod shop/web has no identity ${JSON.stringify(spiffeId)}`,
      });
    }
  });

  it("tells why a pod has none", async () => {
    issuer.registry.setPod(fakePod("web"));
    await expect(ask()).rejects.toMatchObject({
      code: "NO_IDENTITY",
      message: expect.stringContaining("no identity for pod shop/web: ") as string,
    });
    expect(issuer.issues.of("uid-web").failed).toMatchObject({
      by: "issueJwt",
      code: "NO_IDENTITY",
    });
  });

  it("refuses pods of other nodes, and those that are gone or have finished", async () => {
    const far = fakePod("far", "node-b");
    issuer.registry.setPod(far);
    issuer.registry.setEntries("uid-far", [fakeEntry(far)]);
    await expect(ask({ podUid: "uid-far" })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(ask({ podUid: "uid-gone" })).rejects.toMatchObject({ code: "POD_GONE" });
    giveIdentities();
    issuer.registry.setPod({ ...fakePod("web"), status: { phase: "Succeeded" } });
    await expect(ask()).rejects.toMatchObject({ code: "POD_GONE" });
    expect(issuer.counted).toEqual([]);
  });

  it("refuses callers that are no agent, or one that is gone", async () => {
    giveIdentities();
    const podToken = await issuer.api.sign({ podName: "web", podUid: "uid-web" });
    const asPod = { authorization: `Bearer ${podToken}` };
    await expect(ask({ headers: {} })).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    await expect(ask({ headers: asPod })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    issuer.registry.setPod(agentPod("node-b"));
    await expect(ask()).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it.each<[string, string[], RegExp]>([
    ["none", [], /at least one/],
    ["an empty one", ["a", ""], /one is empty/],
    ["one twice", ["a", "b", "a"], /one is named twice/],
    ["one with a control character", ["a\nb"], /"a\\nb" has a control character/],
    ["a long one", ["a".repeat(2049)], /more than 2048 bytes/],
    ["one that is long in bytes", ["ä".repeat(1025)], /more than 2048 bytes/],
    ["too many", Array.from({ length: 65 }, (_, at) => `a${at}`), /at most 64/],
    [
      "too much together",
      Array.from({ length: 5 }, (_, at) => `${at}`.repeat(2000)),
      /together they have more than 8192 bytes/,
    ],
  ])("refuses audiences with %s", async (_what, audiences, rule) => {
    giveIdentities();
    const refused = { code: "INVALID_ARGUMENT", message: expect.stringMatching(rule) as string };
    await expect(ask({ audiences })).rejects.toMatchObject(refused);
  });

  it("takes as many and as long audiences as are allowed", async () => {
    giveIdentities();
    const many = Array.from({ length: 64 }, (_, at) => `a${at}`);
    await expect(ask({ audiences: many })).resolves.toBeDefined();
    const long = ["a", "b", "c", "d"].map((letter) => letter.repeat(2048));
    await expect(ask({ audiences: long })).resolves.toBeDefined();
  });

  it("adds the declared claims of the pod, and leaves out those that come out empty", async () => {
    giveIdentities();
    const claims = await verify((await ask()).svids[0]?.token ?? "");
    expect(claims).toMatchObject({ "example.org/namespace": "shop" });
    expect(claims).not.toHaveProperty("example.org/team");
    const pod = fakePod("web");
    issuer.registry.setPod({ ...pod, metadata: { ...pod.metadata, labels: { team: "blue" } } });
    const { svids } = await ask();
    expect(decodeJwt(svids[0]?.token ?? "")["example.org/team"]).toBe("blue");
  });

  it("signs with the authority that is active now", async () => {
    giveIdentities();
    const other = await openIssuer();
    const kidOf = async () => decodeProtectedHeader((await ask()).svids[0]?.token ?? "").kid;
    const before = await kidOf();
    issuer.authority.set(other.authority.get());
    expect(await kidOf()).not.toBe(before);
    await other.close();
  });

  it("ends with UNAVAILABLE while there is no JWT authority", async () => {
    giveIdentities();
    const none = (): never => {
      throw new SignetError("UNAVAILABLE", "there is no JWT authority yet");
    };
    issuer.authority.set({ ...issuer.authority.get(), issueJwt: async () => none() });
    await expect(ask()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("is counted and remembered apart from X509-SVIDs, and leaves no token in the log", async () => {
    giveIdentities();
    const { svids } = await ask();
    expect(issuer.counted).toEqual([{ call: "issueJwt", count: 2 }]);
    const { issued, issuedJwt } = issuer.issues.of("uid-web");
    expect(issued).toBeUndefined();
    expect(issuedJwt).toMatchObject({
      by: "issueJwt",
      notAfter: Number(svids[1]?.expiresAt),
      spiffeIds: [DEFAULT_ID, SECOND_ID],
    });
    const logged = JSON.stringify(issuer.log.lines);
    expect(logged).toContain("issued JWT-SVIDs");
    for (const { token } of svids) {
      for (const part of token.split(".")) expect(logged).not.toContain(part);
    }
  });
});
