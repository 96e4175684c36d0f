import { createPrivateKey, X509Certificate } from "node:crypto";
import type { DescMethod } from "@bufbuild/protobuf";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import type { RpcClient } from "../../src/rpc/client.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { HEADERS, read, serve } from "./world.ts";
import type { World } from "./world.ts";

const { method } = SpiffeWorkloadAPI;
const STREAMS = [method.fetchX509SVID, method.fetchX509Bundles, method.fetchJWTBundles] as const;

let domain: TestDomain;
let foreign: TestDomain;
beforeAll(async () => {
  [domain, foreign] = [await testDomain(), await testDomain("partner.test")];
});

let workload: TestWorkload;
let world: World;
let client: RpcClient;
beforeEach(async () => {
  workload = testWorkload(domain, domain.state([await domain.svid("/web")]));
  world = await serve(workload);
  client = world.client();
});
afterEach(() => world.close());

const x509 = () =>
  read((signal) => client.stream(method.fetchX509SVID, {}, { headers: HEADERS, signal }));
const bundles = () =>
  read((signal) => client.stream(method.fetchX509Bundles, {}, { headers: HEADERS, signal }));
const jwtBundles = () =>
  read((signal) => client.stream(method.fetchJWTBundles, {}, { headers: HEADERS, signal }));
const jwt = (request: { audience: string[]; spiffeId?: string }) =>
  client.unary(method.fetchJWTSVID, request, { headers: HEADERS });
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** DER certificates that lie one after another, to the last byte. */
function certificates(der: Uint8Array): X509Certificate[] {
  const found: X509Certificate[] = [];
  for (let rest = Buffer.from(der); rest.length > 0;) {
    const certificate = new X509Certificate(rest);
    found.push(certificate);
    rest = rest.subarray(certificate.raw.length);
  }
  return found;
}

describe("every method", () => {
  const calls = [
    ...STREAMS.map(
      (stream) =>
        [stream.name, (headers: Record<string, string>) => first(stream, headers)] as const,
    ),
    [
      "FetchJWTSVID",
      (headers: Record<string, string>) =>
        client.unary(method.fetchJWTSVID, { audience: ["a"] }, { headers }),
    ] as const,
    [
      "ValidateJWTSVID",
      (headers: Record<string, string>) =>
        client.unary(method.validateJWTSVID, { audience: "a", svid: "b" }, { headers }),
    ] as const,
    [
      "FetchWITSVID",
      (headers: Record<string, string>) => first(method.fetchWITSVID, headers),
    ] as const,
    [
      "FetchWITBundles",
      (headers: Record<string, string>) => first(method.fetchWITBundles, headers),
    ] as const,
  ];
  const first = async (stream: DescMethod, headers: Record<string, string>) => {
    const messages = client.stream(stream as typeof method.fetchX509SVID, {}, { headers });
    for await (const message of messages) return message;
    throw new Error("no message");
  };

  it.each(calls)(
    "%s refuses a request without the header, or with another value [WEP-5 WEP-6]",
    async (_name, call) => {
      workload.set({ status: "none" });
      for (const value of [undefined, "True", "TRUE", "1", "", "false", "true, true"]) {
        const headers: Record<string, string> =
          value === undefined ? {} : { "workload.spiffe.io": value };
        await expect(call(headers)).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
          message: expect.stringContaining("security header missing"),
        });
      }
    },
  );

  it.each(calls.slice(0, 5))(
    "%s tells a workload without identity that it has none [WAPI-18 WAPI-22 WAPI-25 WEP-16]",
    async (_name, call) => {
      workload.set({ status: "none" });
      await expect(call(HEADERS)).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
        message: "no identity issued",
      });
    },
  );

  it.each(calls.slice(0, 5))(
    "%s asks to come again when nothing is known yet [WEP-15]",
    async (_name, call) => {
      workload.set({ status: "unknown" });
      await expect(call(HEADERS)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    },
  );

  it.each(calls.slice(5))(
    "%s is not implemented, whether there is an identity or not [WAPI-32]",
    async (_name, call) => {
      await expect(call(HEADERS)).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
      workload.set({ status: "none" });
      await expect(call(HEADERS)).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
    },
  );
});

describe("FetchX509SVID", () => {
  it("gives chain, key and bundle in DER, and nothing else [WAPI-14 WAPI-15 WAPI-20]", async () => {
    const response = await x509().until(1);
    expect(response.crl).toEqual([]);
    expect(response.federatedBundles).toEqual({});
    expect(response.svids).toHaveLength(1);
    const [svid] = response.svids;
    const [leaf, ...others] = certificates(svid?.x509Svid ?? Buffer.alloc(0));
    expect(others).toEqual([]);
    expect(svid?.spiffeId).toBe("spiffe://example.org/web");
    expect(leaf?.subjectAltName).toBe(`URI:${svid?.spiffeId}`);
    const key = createPrivateKey({
      key: Buffer.from(svid?.x509SvidKey ?? []),
      format: "der",
      type: "pkcs8",
    });
    expect(leaf?.checkPrivateKey(key)).toBe(true);
    const [root] = certificates(svid?.bundle ?? Buffer.alloc(0));
    expect(leaf?.verify(root?.publicKey ?? key)).toBe(true);
    expect(svid?.hint).toBe("");
  });

  it("gives all SVIDs in the order of the state, at every connection and rotation [WAPI-13 WAPI-37]", async () => {
    const paths = ["/web", "/admin", "/batch"];
    for (const round of [1, 2]) {
      const svids = await Promise.all(paths.map((path) => domain.svid(path)));
      workload.set(domain.state(svids));
      const ids = (await x509().until(1)).svids.map(({ spiffeId }) => spiffeId);
      expect(ids, `round ${round}`).toEqual(paths.map((path) => `spiffe://example.org${path}`));
    }
  });

  it("lets only the first of equal hints stand, and none that is too long [WAPI-17 WAPI-38]", async () => {
    const hints = ["internal", "external", "internal", "", "x".repeat(1024), "y".repeat(1025)];
    const svids = await Promise.all(hints.map((hint, i) => domain.svid(`/${i}`, { hint })));
    workload.set(domain.state(svids));
    const response = await x509().until(1);
    expect(response.svids.map(({ hint }) => hint)).toEqual([
      "internal",
      "external",
      "",
      "",
      "x".repeat(1024),
      "",
    ]);
    expect(response.svids).toHaveLength(6);
  });

  it("gives the bundles of foreign trust domains only, by SPIFFE ID [WAPI-16]", async () => {
    const svids = [await domain.svid("/web")];
    workload.set(domain.state(svids, [foreign, domain]));
    const { federatedBundles } = await x509().until(1);
    expect(Object.keys(federatedBundles)).toEqual(["spiffe://partner.test"]);
    expect(Buffer.from(federatedBundles["spiffe://partner.test"] ?? [])).toEqual(
      foreign.bundle.x509Authorities[0],
    );
  });

  it("leaves out a foreign trust domain without authorities, and is denied without own ones [AMB-12]", async () => {
    const state = domain.state([await domain.svid("/web")], [foreign]);
    const without = { ...domain.bundle, x509Authorities: [], jwtAuthorities: [] };
    workload.set({
      ...state,
      federatedBundles: new Map([...state.federatedBundles.keys()].map((name) => [name, without])),
    });
    expect((await x509().until(1)).federatedBundles).toEqual({});
    workload.set({ ...state, bundle: without });
    await expect(x509().ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
    await expect(bundles().ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  it("pushes the whole state at once when it changes, and nothing when it does not [WAPI-5 WAPI-7]", async () => {
    const [a, b, c] = [await domain.svid("/a"), await domain.svid("/b"), await domain.svid("/c")];
    workload.set(domain.state([a, b, c]));
    const stream = x509();
    await stream.until(1);
    const renewed = await domain.svid("/b");
    workload.set(domain.state([a, renewed, c]));
    const second = await stream.until(2);
    expect(second.svids.map(({ x509SvidKey }) => Buffer.from(x509SvidKey))).toEqual([
      a.privateKey,
      renewed.privateKey,
      c.privateKey,
    ]);
    workload.set(domain.state([a, renewed, c]));
    await quiet();
    expect(stream.seen).toHaveLength(2);
  });

  it("does not speak when only token keys change [WAPI-7]", async () => {
    const svids = [await domain.svid("/a")];
    workload.set(domain.state(svids));
    const [stream, keys] = [x509(), jwtBundles()];
    await Promise.all([stream.until(1), keys.until(1)]);
    workload.set({
      ...domain.state(svids),
      bundle: { ...domain.bundle, jwtAuthorities: [foreign.key.jwk] },
    });
    await keys.until(2);
    await quiet();
    expect(stream.seen).toHaveLength(1);
  });

  it("tells of a foreign trust domain that comes and goes [WAPI-8 WAPI-9]", async () => {
    const svids = [await domain.svid("/web")];
    workload.set(domain.state(svids, [foreign]));
    const stream = x509();
    expect(Object.keys((await stream.until(1)).federatedBundles)).toHaveLength(1);
    workload.set(domain.state(svids));
    expect((await stream.until(2)).federatedBundles).toEqual({});
  });

  it("ends an open stream when the identity goes, without another byte of it [WAPI-19 WAPI-40]", async () => {
    const streams = [x509(), bundles(), jwtBundles()];
    await Promise.all(streams.map((stream) => stream.until(1)));
    workload.set({ status: "none" });
    for (const stream of streams) {
      await expect(stream.ended).resolves.toMatchObject({
        code: "PERMISSION_DENIED",
        message: "no identity issued",
      });
      expect(stream.seen).toHaveLength(1);
    }
    await expect.poll(() => [workload.listeners, world.endpoint.calls]).toEqual([0, 0]);
  });

  it("keeps an open stream while nothing is known, and goes on after it", async () => {
    const stream = x509();
    await stream.until(1);
    workload.set({ status: "unknown" });
    await quiet();
    workload.set(domain.state([await domain.svid("/web")]));
    await stream.until(2);
    expect(stream.seen).toHaveLength(2);
  });

  it("answers a state without any SVID as no identity [WAPI-13]", async () => {
    workload.set(domain.state([]));
    await expect(x509().ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  it("answers at once, on each of many connections [WAPI-4 WAPI-6]", async () => {
    const started = performance.now();
    for (let i = 0; i < 20; i += 1) {
      client = world.client();
      const stream = x509();
      await stream.until(1);
      stream.stop();
    }
    expect(performance.now() - started).toBeLessThan(20_000);
    await expect.poll(() => world.endpoint.calls).toBe(0);
  });
});

describe("FetchX509Bundles and FetchJWTBundles", () => {
  it("give the own bundle and those of foreign trust domains [WAPI-21 WAPI-27]", async () => {
    const svids = [await domain.svid("/web")];
    workload.set(domain.state(svids, [foreign]));
    const names = ["spiffe://example.org", "spiffe://partner.test"];
    const x509Bundles = await bundles().until(1);
    expect(Object.keys(x509Bundles.bundles)).toEqual(names);
    expect(x509Bundles.crl).toEqual([]);
    expect(Buffer.from(x509Bundles.bundles["spiffe://example.org"] ?? [])).toEqual(
      domain.bundle.x509Authorities[0],
    );
    const { bundles: sets } = await jwtBundles().until(1);
    expect(Object.keys(sets)).toEqual(names);
    const keys = JSON.parse(Buffer.from(sets["spiffe://partner.test"] ?? []).toString()) as unknown;
    const { kid, kty, crv, x, y } = foreign.key.jwk;
    expect(keys).toEqual({ keys: [{ kty, use: "jwt-svid", kid, crv, x, y }] });
  });

  it("show no key that no JWT-SVID can be signed with, and no private member [WAPI-28 JWT-16 GO-18 GO-19]", async () => {
    const good = { ...domain.key.jwk, d: "secret", x5c: ["AA=="], use: "x509-svid", alg: "ES256" };
    const bad = [
      { ...good, kid: "" },
      { kid: "okp", kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
      { ...good, kid: "curve", crv: "secp256k1" },
      { ...good, kid: "point", x: good.y },
      { kid: "none", kty: "RSA" },
    ];
    const state = domain.state([await domain.svid("/web")]);
    workload.set({ ...state, bundle: { ...domain.bundle, jwtAuthorities: [...bad, good] } });
    const { bundles: sets } = await jwtBundles().until(1);
    const { keys } = JSON.parse(Buffer.from(sets["spiffe://example.org"] ?? []).toString()) as {
      keys: Record<string, string>[];
    };
    expect(keys.map((key) => Object.keys(key).toSorted())).toEqual([
      ["alg", "crv", "kid", "kty", "use", "x", "y"],
    ]);
    expect(keys[0]?.["use"]).toBe("jwt-svid");
  });

  it("say that the own trust domain has no token keys, and leave out foreign ones without", async () => {
    const state = domain.state([await domain.svid("/web")], [foreign]);
    const without = { ...domain.bundle, jwtAuthorities: [] };
    workload.set({
      ...state,
      bundle: without,
      federatedBundles: new Map([...state.federatedBundles.keys()].map((name) => [name, without])),
    });
    const { bundles: sets } = await jwtBundles().until(1);
    expect(Object.entries(sets).map(([name, set]) => [name, Buffer.from(set).toString()])).toEqual([
      ["spiffe://example.org", '{"keys":[]}'],
    ]);
  });

  it("push a new authority at once", async () => {
    const [x, j] = [bundles(), jwtBundles()];
    await Promise.all([x.until(1), j.until(1)]);
    const svids = [await domain.svid("/web")];
    const both = {
      ...domain.bundle,
      x509Authorities: [...domain.bundle.x509Authorities, ...foreign.bundle.x509Authorities],
      jwtAuthorities: [domain.key.jwk, foreign.key.jwk],
    };
    workload.set({ ...domain.state(svids), bundle: both });
    const after = await x.until(2);
    expect(certificates(after.bundles["spiffe://example.org"] ?? Buffer.alloc(0))).toHaveLength(2);
    await j.until(2);
  });
});

describe("FetchJWTSVID", () => {
  it("gives a token for each identity, or for the one that is named [WAPI-24 WAPI-26]", async () => {
    const svids = [
      await domain.svid("/web", { hint: "w" }),
      await domain.svid("/admin", { hint: "a" }),
    ];
    workload.set(domain.state(svids));
    const both = await jwt({ audience: ["api"] });
    expect(both.svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
      ["spiffe://example.org/web", "w"],
      ["spiffe://example.org/admin", "a"],
    ]);
    expect(both.svids.every(({ svid }) => svid.split(".").length === 3)).toBe(true);
    const one = await jwt({ audience: ["api"], spiffeId: "spiffe://example.org/admin" });
    expect(one.svids.map(({ spiffeId }) => spiffeId)).toEqual(["spiffe://example.org/admin"]);
  });

  it("asks for every audience once [WAPI-23]", async () => {
    await jwt({ audience: ["b", "a", "b"] });
    expect(workload.asked[0]).toMatchObject({ audiences: ["b", "a"], spiffeId: undefined });
  });

  it("puts the default identity first, and only the first of equal hints, whatever the source's order", async () => {
    const svids = [
      await domain.svid("/web", { hint: "h" }),
      await domain.svid("/admin", { hint: "h" }),
    ];
    workload.set(domain.state(svids));
    const expiresAt = Date.now();
    workload.fetch = async () =>
      svids.toReversed().map(({ spiffeId, hint }) => ({ spiffeId, hint, token: "t", expiresAt }));
    const { svids: given } = await jwt({ audience: ["api"] });
    expect(given.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
      ["spiffe://example.org/web", "h"],
      ["spiffe://example.org/admin", ""],
    ]);
  });

  it.each<[string, { audience: string[]; spiffeId?: string }]>([
    ["no audience [WAPI-10]", { audience: [] }],
    ["an empty audience", { audience: ["a", ""] }],
    ["too many audiences", { audience: Array.from({ length: 65 }, (_, i) => `a${i}`) }],
    ["an audience that is too long", { audience: ["a".repeat(2049)] }],
    [
      "audiences that are too long together",
      { audience: Array.from({ length: 17 }, (_, i) => `${i}`.padEnd(2000)) },
    ],
    ["an ID that is none [WAPI-25]", { audience: ["a"], spiffeId: "web" }],
    ["an ID with a slash at its end", { audience: ["a"], spiffeId: "spiffe://example.org/web/" }],
  ])("refuses %s as a wrong request", async (_name, request) => {
    await expect(jwt(request)).rejects.toMatchObject({ code: expect.stringMatching(/^INVALID_/) });
    expect(workload.asked).toEqual([]);
  });

  it("gives nobody another one's token [WAPI-3 WAPI-25]", async () => {
    const request = { audience: ["a"], spiffeId: "spiffe://example.org/neighbour" };
    await expect(jwt(request)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      message: "no identity issued",
    });
    expect(workload.asked).toEqual([]);
  });

  it("keeps a token back whose identity went while it was made [WAPI-40]", async () => {
    const { fetch } = workload;
    workload.fetch = async (request) => {
      const tokens = await fetch(request);
      workload.set({ status: "none" });
      return tokens;
    };
    await expect(jwt({ audience: ["a"] })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  it.each<[string, string]>([
    ["NO_IDENTITY", "PERMISSION_DENIED"],
    ["POD_GONE", "PERMISSION_DENIED"],
    ["PERMISSION_DENIED", "PERMISSION_DENIED"],
    ["INVALID_ARGUMENT", "INVALID_ARGUMENT"],
    ["UNAVAILABLE", "UNAVAILABLE"],
    ["DEADLINE_EXCEEDED", "UNAVAILABLE"],
    ["CANCELLED", "UNAVAILABLE"],
    ["UNAUTHENTICATED", "UNAVAILABLE"],
    ["INTERNAL", "INTERNAL"],
  ])(
    "tells the source's %s as %s, so that clients give up only where they should",
    async (code, told) => {
      workload.fetch = () => Promise.reject(new SignetError(code as "INTERNAL", "from the source"));
      await expect(jwt({ audience: ["a"] })).rejects.toMatchObject({ code: told });
    },
  );

  it("tells a source that gives nothing as no identity", async () => {
    workload.fetch = () => Promise.resolve([]);
    await expect(jwt({ audience: ["a"] })).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  });

  it("tells the source when the caller goes away", async () => {
    const aborted = Promise.withResolvers<void>();
    workload.fetch = ({ signal }) => {
      signal.addEventListener("abort", () => aborted.resolve());
      return new Promise(() => undefined);
    };
    const leave = new AbortController();
    const call = client.unary(
      method.fetchJWTSVID,
      { audience: ["a"] },
      { headers: HEADERS, signal: leave.signal },
    );
    setTimeout(() => leave.abort(), 30);
    await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
    await aborted.promise;
    await expect.poll(() => world.endpoint.calls).toBe(0);
  });
});

describe("two pods", () => {
  it("get their own identities for the same request [WAPI-3 WEP-12]", async () => {
    const other = testWorkload(domain, domain.state([await domain.svid("/other")]));
    const neighbour = await serve(other);
    try {
      const ids = await Promise.all(
        [world, neighbour].map(async (place) => {
          const stream = read((signal) =>
            place.client().stream(method.fetchX509SVID, {}, { headers: HEADERS, signal }),
          );
          return (await stream.until(1)).svids[0]?.spiffeId;
        }),
      );
      expect(ids).toEqual(["spiffe://example.org/web", "spiffe://example.org/other"]);
    } finally {
      await neighbour.close();
    }
  });
});

it("answers a method that does not exist as not implemented [WEP-17]", async () => {
  const unknown = { ...method.fetchJWTSVID, name: "FetchNothing" };
  await expect(client.unary(unknown, {}, { headers: HEADERS })).rejects.toMatchObject({
    code: "UNIMPLEMENTED",
  });
});

it("carries IDs of 2048 bytes [ID-15]", async () => {
  const path = `/${"a".repeat(2048 - "spiffe://example.org/".length)}`;
  workload.set(domain.state([await domain.svid(path)]));
  expect((await x509().until(1)).svids[0]?.spiffeId).toHaveLength(2048);
  const { svids } = await jwt({ audience: ["a"], spiffeId: `spiffe://example.org${path}` });
  expect(svids[0]?.spiffeId).toHaveLength(2048);
});
