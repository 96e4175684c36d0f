import { createPublicKey, X509Certificate } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bundleConfigMap, publishBundle } from "../../src/controllers/bundle-publisher.ts";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { CONFIG_MAPS } from "../../src/kube/resources.ts";
import type { ConfigMap, OwnerReference } from "../../src/kube/types.ts";
import { openssl } from "../ca/oracle.ts";
import { twoBundles } from "./authorities.ts";
import { eventually, NAMESPACE, openCluster } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

const KEY = { namespace: NAMESPACE, name: "signet-bundle" };
const OWNER: OwnerReference = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  name: "signet-operator",
  uid: "uid-deployment",
};

let cluster: TestCluster;
let clock: ManualClock;
let bundles: Awaited<ReturnType<typeof twoBundles>>;
beforeEach(async () => {
  cluster = await openCluster();
  clock = manualClock(Date.now());
  bundles = await twoBundles();
});
afterEach(() => cluster.close());

/** Publishes the live bundle until the test ends; resolves when it was written once. */
async function publish(owner: OwnerReference | undefined = OWNER): Promise<void> {
  const { client, run } = cluster;
  const deps = { client, key: KEY, owner, bundle: bundles.live, clock, log: silentLog() };
  run((signal) => publishBundle(deps, signal));
  await asleep();
}

const asleep = () => eventually(() => expect(clock.sleeping).toBe(1));
const published = (): ConfigMap | undefined => cluster.server.objects<ConfigMap>(CONFIG_MAPS)[0];

/** Subjects and fingerprints as OpenSSL reads them. */
function certificatesOf(pem: string): string[] {
  const parts = pem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? [];
  return parts.map((part) => openssl(["x509", "-noout", "-fingerprint", "-sha256"], part).trim());
}

const fingerprintOf = (der: Buffer): string =>
  `sha256 Fingerprint=${new X509Certificate(der).fingerprint256}`;

describe("the bundle's ConfigMap", () => {
  it("holds the authorities as PEM that OpenSSL reads", () => {
    const { data } = bundleConfigMap(bundles.both, { key: KEY, owner: undefined });
    expect(certificatesOf(data?.["bundle.pem"] ?? "")).toEqual(
      bundles.both.x509Authorities.map(fingerprintOf),
    );
  });

  it("holds a SPIFFE bundle document with the keys of the same authorities", () => {
    const { data } = bundleConfigMap(bundles.both, { key: KEY, owner: undefined });
    const document = JSON.parse(data?.["bundle.json"] ?? "");
    expect(document).toMatchObject({ spiffe_sequence: 2, spiffe_refresh_hint: 300 });
    expect(document.keys).toHaveLength(3);
    const [kid] = bundles.both.jwtAuthorities.map((authority) => authority.kid);
    expect(document.keys.pop()).toMatchObject({ use: "jwt-svid", kid, kty: "EC", alg: "ES256" });
    for (const [index, jwk] of document.keys.entries()) {
      const certificate = new X509Certificate(Buffer.from(jwk.x5c[0], "base64"));
      expect(certificate.raw).toEqual(bundles.both.x509Authorities[index]);
      expect(jwk).toMatchObject({ use: "x509-svid", kty: "EC", crv: "P-256" });
      expect(createPublicKey({ key: jwk, format: "jwk" }).equals(certificate.publicKey)).toBe(true);
    }
  });

  it("names its owner, and no owner where there is none", async () => {
    await publish();
    expect(published()?.metadata.ownerReferences).toEqual([OWNER]);
    const unowned = bundleConfigMap(bundles.first, { key: KEY, owner: undefined });
    expect(unowned.metadata).not.toHaveProperty("ownerReferences");
  });
});

describe("publishing", () => {
  it("writes the bundle at once, and again as soon as it changes", async () => {
    await publish();
    expect(published()).toMatchObject({
      metadata: KEY,
      data: bundleConfigMap(bundles.first, { key: KEY, owner: OWNER }).data,
    });
    bundles.live.set(bundles.both);
    await eventually(() =>
      expect(certificatesOf(published()?.data?.["bundle.pem"] ?? "")).toHaveLength(2),
    );
  });

  it("puts back what someone edited, and leaves what they added", async () => {
    await publish();
    const { data } = published() ?? {};
    await cluster.connect("someone").patch<ConfigMap>(CONFIG_MAPS, KEY, {
      patch: { type: "merge", body: { data: { "bundle.pem": "none", "mine.txt": "kept" } } },
    });
    await clock.advance(30_000);
    await eventually(() => expect(published()?.data).toEqual({ ...data, "mine.txt": "kept" }));
  });

  it("writes a deleted ConfigMap again", async () => {
    await publish();
    const { data } = published() ?? {};
    cluster.server.delete(CONFIG_MAPS, KEY);
    await clock.advance(30_000);
    await eventually(() => expect(published()?.data).toEqual(data));
  });

  it("tries again a second after the API server refused", async () => {
    let refusals = 0;
    cluster.server.intercept = () => {
      refusals += 1;
      return refusals === 1 ? { status: 503, body: {} } : undefined;
    };
    await publish();
    expect(published()).toBeUndefined();
    await clock.advance(1000);
    await eventually(() => expect(published()).toBeDefined());
  });
});
