import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { beforeAll, expect, test } from "vitest";
import { bundleReader } from "../../src/agent/bundle-message.ts";
import { generateKeyPair } from "../../src/agent/keys.ts";
import { identityFrom } from "../../src/agent/response.ts";
import { BundleSchema, IssueResponseSchema } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { testAuthority } from "../fakes/authority.ts";
import type { LeafRequest, TestAuthority } from "../fakes/authority.ts";
import { bundleOf, TRUST_DOMAIN } from "./fixture.ts";

const NOW = Math.floor(Date.now() / 1000) * 1000;
const WEB = "spiffe://test.local/web";
const key = await generateKeyPair("ec-p256");
const otherKey = await generateKeyPair("ec-p256");
let authority: TestAuthority;
let other: TestAuthority;

beforeAll(async () => {
  authority = await testAuthority("first");
  other = await testAuthority("second");
});

interface BundleInit {
  readonly trustDomain?: string;
  readonly x509Authorities?: Uint8Array[];
  readonly sequence?: bigint;
}

interface Answer {
  signer?: TestAuthority;
  leaf?: Partial<LeafRequest>;
  spiffeId?: string;
  below?: readonly Buffer[];
  bundle?: BundleInit;
}

async function answer({ signer = authority, leaf, spiffeId = WEB, below = [], bundle }: Answer) {
  const validity = { notBefore: NOW - 10_000, notAfter: NOW + 60_000 };
  const request = { uris: [spiffeId], publicKey: key.publicKey, ...validity, ...leaf };
  const chain = [await signer.issue(request), ...below];
  const svid = { entryId: "e1", revision: "r1", spiffeId, chain, hint: "internal" };
  return create(IssueResponseSchema, { svids: [svid], bundle: bundleMessage(bundle) });
}

function bundleMessage(bundle: BundleInit = {}): MessageInitShape<typeof BundleSchema> {
  const x509Authorities = [authority.der];
  return { trustDomain: "test.local", x509Authorities, sequence: 5n, refreshHint: 300, ...bundle };
}

const bundles = bundleReader(TRUST_DOMAIN);
const context = (pushed?: Bundle) => ({ bundles, now: NOW, pushed });

test("an answer for our key becomes an identity with the certificate's own times", async () => {
  const identity = identityFrom(await answer({}), key, context());
  expect(identity.privateKey).toBe(key.privateKey);
  expect(identity.bundle).toEqual(bundleOf([authority], 5));
  expect(identity.svids).toMatchObject([
    { spiffeId: WEB, entryId: "e1", revision: "r1", hint: "internal" },
  ]);
  expect(identity.svids[0]?.notBefore).toBe(NOW - 10_000);
  expect(identity.svids[0]?.notAfter).toBe(NOW + 60_000);
});

test("a chain through an intermediate is accepted", async () => {
  const below = await authority.intermediate("below");
  const response = await answer({ signer: below, below: [below.der] });
  expect(identityFrom(response, key, context()).svids[0]?.chain).toHaveLength(2);
});

test("DNS names beside the SPIFFE ID are accepted", async () => {
  const response = await answer({ leaf: { dnsNames: ["web.default.svc"] } });
  expect(identityFrom(response, key, context()).svids).toHaveLength(1);
});

const wrong: [string, Answer | (() => Promise<Answer>)][] = [
  ["a leaf for another key", { leaf: { publicKey: otherKey.publicKey } }],
  ["a leaf with another SPIFFE ID", { leaf: { uris: ["spiffe://test.local/admin"] } }],
  ["a leaf with two SPIFFE IDs", { leaf: { uris: [WEB, "spiffe://test.local/admin"] } }],
  ["a leaf without a SPIFFE ID", { leaf: { uris: [] } }],
  ["a leaf that is a CA", { leaf: { isCa: true } }],
  ["an expired leaf", { leaf: { notBefore: NOW - 60_000, notAfter: NOW } }],
  ["a SPIFFE ID of another trust domain", { spiffeId: "spiffe://evil.local/web" }],
  ["what is no SPIFFE ID", { spiffeId: "https://test.local/web" }],
  ["a bundle of another trust domain", { bundle: { trustDomain: "evil.local" } }],
  ["an empty bundle", { bundle: { x509Authorities: [] } }],
  ["a bundle of what is no certificate", { bundle: { x509Authorities: [Buffer.from("x")] } }],
  ["a signer outside the bundle", async () => ({ signer: other })],
  ["an intermediate that is missing", async () => ({ signer: await authority.intermediate("i") })],
];

test.each(wrong)("an answer with %s is refused", async (_name, given) => {
  const response = await answer(typeof given === "function" ? await given() : given);
  expect(() => identityFrom(response, key, context())).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/MALFORMED|INVALID_SPIFFE_ID/) }),
  );
});

test("an intermediate that is no CA vouches for nobody", async () => {
  const signer = await authority.intermediate("no CA", { isCa: false });
  const response = await answer({ signer, below: [signer.der] });
  expect(() => identityFrom(response, key, context())).toThrow(/not signed by the one after it/);
});

test("an intermediate that did not sign the leaf vouches for nobody", async () => {
  const signer = await authority.intermediate("below");
  const namesake = await authority.intermediate("below");
  const response = await answer({ signer, below: [namesake.der] });
  expect(() => identityFrom(response, key, context())).toThrow(/not signed by the one after it/);
});

test("an answer without SVIDs or without a bundle is refused", async () => {
  const { svids, bundle } = await answer({});
  const noSvid = create(IssueResponseSchema, { svids: [], ...(bundle && { bundle }) });
  expect(() => identityFrom(noSvid, key, context())).toThrow(/holds no SVID/);
  const noBundle = create(IssueResponseSchema, { svids });
  expect(() => identityFrom(noBundle, key, context())).toThrow(/holds no bundle/);
});

test("a newer pushed bundle replaces that of the answer, and the leaf must verify against it", async () => {
  const response = await answer({});
  const newer = bundleOf([other, authority], 6);
  expect(identityFrom(response, key, context(newer)).bundle).toBe(newer);
  expect(identityFrom(response, key, context(bundleOf([other], 4))).bundle.sequence).toBe(5);
  expect(() => identityFrom(response, key, context(bundleOf([other], 6)))).toThrow(
    /no authority of the trust bundle/,
  );
});

test("a bundle with a leaf certificate in it is refused", async () => {
  const leaf = (await answer({})).svids[0]?.chain[0] ?? Buffer.alloc(0);
  const message = create(BundleSchema, bundleMessage({ x509Authorities: [leaf] }));
  expect(() => bundles.own(message)).toThrow(/not a CA certificate/);
});

test("the foreign bundles that SVIDs federate with come in the order of their names, and no others", async () => {
  const response = await answer({});
  const [svid] = response.svids;
  svid?.federatesWith.push("c.local", "b.local");
  for (const trustDomain of ["c.local", "a.local", "b.local"]) {
    response.federatedBundles.push(create(BundleSchema, bundleMessage({ trustDomain })));
  }
  const { federatedBundles, svids } = identityFrom(response, key, context());
  expect(federatedBundles.map(({ trustDomain }) => trustDomain)).toEqual(["b.local", "c.local"]);
  expect(svids[0]?.federatesWith).toEqual(["c.local", "b.local"]);
});
