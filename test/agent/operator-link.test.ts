import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { generateKeyPair } from "../../src/agent/keys.ts";
import { operatorLink } from "../../src/agent/operator-link.ts";
import type { OperatorLink } from "../../src/agent/operator-link.ts";
import { trustAnchors } from "../../src/agent/trust-anchors.ts";
import type { TrustAnchors } from "../../src/agent/trust-anchors.ts";
import { serverCredentials, testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { fakeIssuer } from "../fakes/issuer.ts";
import type { FakeIssuer, FakeIssuerOptions } from "../fakes/issuer.ts";
import {
  agentFiles,
  bundleOf,
  entry,
  OPERATOR_ID,
  replaceFile,
  tempDir,
  TRUST_DOMAIN,
  until,
} from "./fixture.ts";

let authority: TestAuthority;
let other: TestAuthority;
let dir: ReturnType<typeof tempDir>;
let issuer: FakeIssuer | undefined;
let link: OperatorLink | undefined;
const { publicKey } = await generateKeyPair("ec-p256");

beforeAll(async () => {
  authority = await testAuthority("first");
  other = await testAuthority("second");
});
beforeEach(() => {
  dir = tempDir();
});
afterEach(async () => {
  link?.close();
  await issuer?.kill();
  dir[Symbol.dispose]();
});

async function startIssuer(options: Partial<FakeIssuerOptions> = {}): Promise<FakeIssuer> {
  const server = options.server ?? (await serverCredentials(authority, [OPERATOR_ID]));
  issuer = fakeIssuer({ trustDomain: TRUST_DOMAIN, authority, ...options, server });
  await issuer.start();
  return issuer;
}

function openLink(
  address: string,
  authorities: readonly TestAuthority[],
): { link: OperatorLink; anchors: TrustAnchors; files: ReturnType<typeof agentFiles> } {
  const files = agentFiles(dir.path, authorities);
  const anchors = trustAnchors({ bundleDir: files.bundleDir, log: silentLog() });
  const base = { trustDomain: TRUST_DOMAIN, version: "test", log: silentLog() };
  link = operatorLink({
    ...base,
    address,
    tokenFile: files.tokenFile,
    anchors,
    clock: systemClock(),
    random: Math.random,
  });
  return { link, anchors, files };
}

/** What a promise ends with: watched from now on, so that no rejection goes unhandled. */
const outcome = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

const within = (ms: number) => ({
  deadline: Date.now() + ms,
  signal: new AbortController().signal,
});
const attestation = (podUid: string, noWait = false) => ({
  podUid,
  podToken: "pod-token",
  publicKey,
  noWait,
});

test("an operator with the right CA and SPIFFE ID is called with the agent's token", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, [authority]);
  const response = await link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  expect(response.svids.map((svid) => svid.spiffeId)).toEqual(["spiffe://test.local/web"]);
  expect(operator.calls).toMatchObject([
    { method: "renew", podUid: "pod-1", token: "Bearer agent-token-1", publicKey },
  ]);
});

test("the operator may present a chain through an intermediate CA", async () => {
  const server = await serverCredentials(await authority.intermediate("below"), [OPERATOR_ID]);
  const operator = await startIssuer({ server });
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, [authority]);
  await expect(link.renew({ podUid: "pod-1", publicKey }, within(10_000))).resolves.toBeDefined();
});

const day = 86_400_000;
const impostors: [string, () => Promise<Partial<FakeIssuerOptions>>][] = [
  [
    "whose CA is not in the bundle",
    async () => ({ server: await serverCredentials(other, [OPERATOR_ID]) }),
  ],
  [
    "with a workload's SPIFFE ID",
    async () => ({
      server: await serverCredentials(authority, ["spiffe://test.local/ns/default/sa/default"]),
    }),
  ],
  [
    "with the operator's SPIFFE ID of another trust domain",
    async () => ({
      server: await serverCredentials(authority, ["spiffe://evil.local/signet/operator"]),
    }),
  ],
  [
    "with a second URI SAN",
    async () => ({
      server: await serverCredentials(authority, [OPERATOR_ID, "spiffe://test.local/web"]),
    }),
  ],
  ["without a URI SAN", async () => ({ server: await serverCredentials(authority, []) })],
  [
    "that shows a CA certificate",
    async () => ({ server: await serverCredentials(authority, [OPERATOR_ID], { isCa: true }) }),
  ],
  [
    "whose certificate has expired",
    async () => ({
      server: await serverCredentials(authority, [OPERATOR_ID], {
        notBefore: Date.now() - 2 * day,
        notAfter: Date.now() - day,
      }),
    }),
  ],
];

test.each(impostors)("a server %s never sees a token", async (_name, options) => {
  const operator = await startIssuer(await options());
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, [authority]);
  const call = link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await expect(link.attest(attestation("pod-1"), within(700))).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  expect(operator.calls).toEqual([]);
});

test("the reason of a failed verification reaches the caller", async () => {
  const server = await serverCredentials(authority, ["spiffe://test.local/web"]);
  const operator = await startIssuer({ server });
  const { link } = openLink(operator.address, [authority]);
  const call = link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(call).rejects.toThrow(/not the operator/);
});

test("without a trust bundle nothing is called", async () => {
  const operator = await startIssuer();
  const { link } = openLink(operator.address, []);
  const call = link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(call).rejects.toThrow(/no trust bundle/);
  expect(operator.calls).toEqual([]);
});

test("an attest that waits for a trust bundle succeeds when the file appears", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link, files } = openLink(operator.address, []);
  const call = link.attest(attestation("pod-1"), within(20_000));
  files.setBundle([authority]);
  await expect(call).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
});

test("a replaced bundle file is used for the next call", async () => {
  const server = await serverCredentials(other, [OPERATOR_ID]);
  const operator = await startIssuer({ server });
  operator.setEntries("pod-1", [entry("web")]);
  const { link, files } = openLink(operator.address, [authority]);
  const renew = () => link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(renew()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  files.setBundle([other]);
  await expect(renew()).resolves.toBeDefined();
});

test("an authority that left the bundle is not trusted for the next call", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link, files } = openLink(operator.address, [authority]);
  const renew = () => link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(renew()).resolves.toBeDefined();
  files.setBundle([other]);
  await expect(renew()).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a bundle.pem alone is enough", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, []);
  replaceFile(join(dir.path, "bundle.pem"), authority.pem);
  await expect(link.renew({ podUid: "pod-1", publicKey }, within(10_000))).resolves.toBeDefined();
});

test("a broken bundle file leaves the last good one in use", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, [authority]);
  const renew = () => link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await renew();
  replaceFile(join(dir.path, "bundle.json"), "{ not json");
  await expect(renew()).resolves.toBeDefined();
});

test("a pushed bundle is trusted beside the file", async () => {
  const server = await serverCredentials(other, [OPERATOR_ID]);
  const operator = await startIssuer({ server });
  operator.setEntries("pod-1", [entry("web")]);
  const { link, anchors } = openLink(operator.address, [authority]);
  anchors.push(bundleOf([other], 2));
  await expect(link.renew({ podUid: "pod-1", publicKey }, within(10_000))).resolves.toBeDefined();
});

test("calls that run go on when the trust anchors change", async () => {
  const operator = await startIssuer();
  const { link, files } = openLink(operator.address, [authority]);
  const waiting = link.attest(attestation("pod-1"), within(20_000));
  await until(() => operator.waiting === 1, "attest waits");
  files.setBundle([authority, other]);
  operator.setEntries("pod-2", [entry("second")]);
  await link.renew({ podUid: "pod-2", publicKey }, within(10_000));
  operator.setEntries("pod-1", [entry("web")]);
  await expect(waiting).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
  expect(operator.calls.filter(({ method }) => method === "attest")).toHaveLength(1);
});

test("a replaced token file is sent with the next call", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link, files } = openLink(operator.address, [authority]);
  await link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  replaceFile(files.tokenFile, "agent-token-2");
  await link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  expect(operator.calls.map(({ token }) => token)).toEqual([
    "Bearer agent-token-1",
    "Bearer agent-token-2",
  ]);
});

test("an attest that waits survives a restart of the operator", async () => {
  const operator = await startIssuer();
  const { link } = openLink(operator.address, [authority]);
  const waiting = link.attest(attestation("pod-1"), within(25_000));
  await until(() => operator.waiting === 1, "attest waits");
  await operator.kill();
  await operator.start();
  await until(() => operator.calls.length === 2, "attest came back");
  operator.setEntries("pod-1", [entry("web")]);
  await expect(waiting).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
});

test("an attest begun while the operator is down succeeds once it is up", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  await operator.kill();
  const { link } = openLink(operator.address, [authority]);
  const failing = link.renew({ podUid: "pod-1", publicKey }, within(10_000));
  await expect(failing).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const waiting = link.attest(attestation("pod-1"), within(25_000));
  await operator.start();
  await expect(waiting).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
});

test.each(["PERMISSION_DENIED", "UNAUTHENTICATED", "POD_GONE", "INVALID_ARGUMENT"] as const)(
  "an attest ends at once on %s",
  async (code) => {
    const operator = await startIssuer();
    operator.refuse("pod-1", code);
    const { link } = openLink(operator.address, [authority]);
    const call = link.attest(attestation("pod-1"), within(20_000));
    await expect(call).rejects.toMatchObject({ code });
    expect(operator.calls).toHaveLength(1);
  },
);

test.each([true, false])("NO_IDENTITY is final (noWait %s)", async (noWait) => {
  const operator = await startIssuer();
  const { link } = openLink(operator.address, [authority]);
  const call = link.attest(attestation("pod-1", noWait), within(1500));
  await expect(call).rejects.toMatchObject({ code: "NO_IDENTITY" });
  expect(operator.calls).toHaveLength(1);
});

test("an attest tries again while the operator says UNAVAILABLE", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  operator.refuse("pod-1", "UNAVAILABLE");
  const { link } = openLink(operator.address, [authority]);
  const call = link.attest(attestation("pod-1"), within(20_000));
  await until(() => operator.calls.length >= 2, "second try");
  operator.refuse("pod-1", undefined);
  await expect(call).resolves.toBeDefined();
});

test("an aborted attest ends with CANCELLED, and the operator sees it go", async () => {
  const operator = await startIssuer();
  const { link } = openLink(operator.address, [authority]);
  const stop = new AbortController();
  const limits = { deadline: Date.now() + 20_000, signal: stop.signal };
  const call = link.attest(attestation("pod-1"), limits);
  const ended = outcome(call);
  await until(() => operator.waiting === 1, "attest waits");
  stop.abort();
  expect(await ended).toMatchObject({ code: "CANCELLED" });
  await until(() => operator.waiting === 0, "operator noticed");
});

test("a watch yields what the operator pushes and ends with an error when it dies", async () => {
  const operator = await startIssuer();
  operator.setEntries("pod-1", [entry("web")]);
  const { link } = openLink(operator.address, [authority]);
  const seen: unknown[] = [];
  const watching = (async () => {
    for await (const { update } of link.watch(new AbortController().signal)) seen.push(update.case);
  })();
  const ended = outcome(watching);
  await until(() => seen.length === 3, "first state");
  expect(seen).toEqual(["bundle", "pod", "synced"]);
  operator.setEntries("pod-1", []);
  await until(() => seen.length === 4, "push");
  await operator.kill();
  expect(await ended).toMatchObject({ name: "SignetError" });
});
