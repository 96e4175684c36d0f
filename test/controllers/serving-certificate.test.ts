import { createPrivateKey, X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { CaState } from "../../src/controllers/certificate-authority.ts";
import { openServingCertificate } from "../../src/controllers/serving-certificate.ts";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { liveValue } from "../../src/core/live.ts";
import type { LiveSource, TlsMaterial } from "../../src/core/live.ts";
import { silentLog } from "../../src/core/log.ts";
import { parsePem } from "../../src/spiffe/pem.ts";
import { opensslVerify } from "../ca/oracle.ts";
import { freshCa } from "./authorities.ts";
import { eventually } from "./cluster.ts";

const HOUR = 3_600_000;
const NAME = "signet-operator.signet-system.svc";

let clock: ManualClock;
let first: CaState;
let ca: LiveSource<CaState>;
let stopping: AbortController;
beforeEach(async () => {
  clock = manualClock(Date.UTC(2026, 0, 1));
  first = await freshCa(clock.now());
  ca = liveValue(first);
  stopping = new AbortController();
});
afterEach(() => stopping.abort());

/** Opens the certificate and keeps it; `seen` are the materials so far. */
async function keep() {
  const serving = await openServingCertificate({ ca, dnsNames: [NAME], clock, log: silentLog() });
  const seen = [serving.material.get()];
  serving.material.subscribe((material) => void seen.push(material));
  const done = serving.keep(stopping.signal);
  await asleep();
  return { seen, done };
}

const asleep = () => eventually(() => expect(clock.sleeping).toBe(1));
const leafDer = ({ cert }: TlsMaterial): Buffer =>
  parsePem("CERTIFICATE", cert)[0] ?? Buffer.alloc(0);
const authorityOf = ({ bundle }: CaState): Buffer => bundle.x509Authorities[0] ?? Buffer.alloc(0);

/** Passes the CA's state on, but issues through `issue`. */
function withIssue(state: CaState, issue: CaState["issuer"]["issue"]): CaState {
  return { ...state, issuer: { ...state.issuer, issue } };
}

describe("the operator's certificate", () => {
  it("is an X509-SVID for its names that the bundle verifies", async () => {
    const { seen } = await keep();
    const [material] = seen as [TlsMaterial];
    expect(opensslVerify(authorityOf(first), leafDer(material), clock.now())).toContain(": OK");
    const leaf = new X509Certificate(leafDer(material));
    expect(leaf.checkHost(NAME)).toBe(NAME);
    expect(leaf.subjectAltName).toContain("URI:spiffe://example.org/signet/operator");
    expect(leaf.checkPrivateKey(createPrivateKey(material.key))).toBe(true);
    expect(material.notAfter).toBe(Date.parse(leaf.validTo));
  });

  it("is renewed with a fresh key at half of its lifetime", async () => {
    const { seen } = await keep();
    await clock.advance(12 * HOUR - 1000);
    await asleep();
    expect(seen).toHaveLength(1);
    await clock.advance(2000);
    await eventually(() => expect(seen).toHaveLength(2));
    expect(seen[1]?.key).not.toBe(seen[0]?.key);
    expect(seen[1]?.notAfter).toBeGreaterThan(seen[0]?.notAfter ?? Infinity);
  });

  it("is renewed at once when another authority signs", async () => {
    const { seen } = await keep();
    const second = await freshCa(clock.now());
    ca.set(second);
    await eventually(() => expect(seen).toHaveLength(2));
    const [, material] = seen as [TlsMaterial, TlsMaterial];
    expect(opensslVerify(authorityOf(second), leafDer(material), clock.now())).toContain(": OK");
  });

  it("stays when only the bundle changed", async () => {
    const { seen } = await keep();
    ca.set({ ...first });
    ca.set({ ...first, bundle: { ...first.bundle, sequence: 2 } });
    await clock.advance(HOUR);
    await asleep();
    expect(seen).toHaveLength(1);
  });

  it("follows an authority that took over while the last certificate was made", async () => {
    const second = await freshCa(clock.now());
    ca.set(
      withIssue(first, (request) => {
        ca.set(second);
        return first.issuer.issue(request);
      }),
    );
    const { seen } = await keep();
    await eventually(() => expect(seen).toHaveLength(2));
    const [, material] = seen as [TlsMaterial, TlsMaterial];
    expect(opensslVerify(authorityOf(second), leafDer(material), clock.now())).toContain(": OK");
  });

  it("stays when it cannot be renewed, which is tried again after a second", async () => {
    const { seen } = await keep();
    const second = await freshCa(clock.now());
    let tries = 0;
    ca.set(
      withIssue(second, (request) => {
        tries += 1;
        return tries === 1 ? Promise.reject(new Error("no")) : second.issuer.issue(request);
      }),
    );
    await eventually(() => expect(tries).toBe(1));
    await asleep();
    expect(seen).toHaveLength(1);
    await clock.advance(1000);
    await eventually(() => expect(seen).toHaveLength(2));
    expect(tries).toBe(2);
  });

  it("is no longer kept once the operator stops", async () => {
    const { seen, done } = await keep();
    stopping.abort();
    await done;
    await clock.advance(24 * HOUR);
    expect(seen).toHaveLength(1);
  });
});
