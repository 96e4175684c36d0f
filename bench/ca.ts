/** X509-SVIDs per second, from the bytes of a public key to a signed certificate: Signet's issuer beside @peculiar/x509. */
import "reflect-metadata";
import * as peculiar from "@peculiar/x509";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import { createX509Authority, loadX509Authority } from "../src/ca/authority.ts";
import { createX509Issuer } from "../src/ca/issuer.ts";
import type { X509Issuer } from "../src/ca/issuer.ts";
import { parseTrustDomain } from "../src/spiffe/trust-domain.ts";

const TRUST_DOMAIN = parseTrustDomain("bench.example");
const SPIFFE_ID = `spiffe://${TRUST_DOMAIN}/ns/shop/sa/checkout`;
const DNS_NAMES = ["checkout.shop.svc", "checkout.shop.svc.cluster.local"];
const TTL_MS = 60 * 60 * 1000;
const SLICE_MS = 750;
const ROUNDS = 3;
const { digitalSignature, keyAgreement } = peculiar.KeyUsageFlags;

/** Runs the benchmark, about 6 s, and gives its lines. */
export async function run(): Promise<string[]> {
  const material = await createX509Authority({
    trustDomain: TRUST_DOMAIN,
    ttlMs: 24 * TTL_MS,
    now: Date.now(),
  });
  const authority = loadX509Authority(material, TRUST_DOMAIN);
  const keys = Array.from({ length: 64 }, newPublicKey);
  const signet = signetIssue(createX509Issuer(authority), keys);
  const object = await peculiarIssue(
    authority.certificate,
    authority.privateKey.export({ type: "pkcs8", format: "der" }),
    keys,
  );
  const rates = { signet: [] as number[], object: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    rates.signet.push(await rate(signet));
    rates.object.push(await rate(object));
  }
  const [fast, slow] = [median(rates.signet), median(rates.object)];
  return [
    `X509-SVIDs issued per second, P-256, key parse to signed leaf, one thread (median of ${ROUNDS} × ${SLICE_MS} ms)`,
    `  signet          ${Math.round(fast)}/s`,
    `  @peculiar/x509  ${Math.round(slow)}/s`,
    `  ratio           ${(fast / slow).toFixed(1)}`,
  ];
}

type Issue = (index: number) => Promise<unknown>;

function signetIssue(issuer: X509Issuer, keys: readonly Buffer[]): Issue {
  return (index) =>
    issuer.issue({
      spiffeId: SPIFFE_ID,
      publicKey: keys[index % keys.length] ?? Buffer.alloc(0),
      dnsNames: DNS_NAMES,
      ttlMs: TTL_MS,
      now: Date.now(),
    });
}

async function peculiarIssue(
  caCertificate: Buffer,
  caKey: Buffer,
  keys: readonly Buffer[],
): Promise<Issue> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const signingKey = await webcrypto.subtle.importKey("pkcs8", caKey, algorithm, false, ["sign"]);
  const ca = new peculiar.X509Certificate(caCertificate);
  return async (index) => {
    const publicKey = new peculiar.PublicKey(keys[index % keys.length] ?? Buffer.alloc(0));
    return peculiar.X509CertificateGenerator.create({
      subject: `O=Signet, CN=${DNS_NAMES[0]}`,
      issuer: ca.subject,
      notBefore: new Date(Date.now() - 10_000),
      notAfter: new Date(Date.now() + TTL_MS),
      signingAlgorithm: algorithm,
      publicKey,
      signingKey,
      extensions: [
        new peculiar.KeyUsagesExtension(digitalSignature | keyAgreement, true),
        new peculiar.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]),
        new peculiar.BasicConstraintsExtension(false, undefined, true),
        await peculiar.SubjectKeyIdentifierExtension.create(publicKey),
        await peculiar.AuthorityKeyIdentifierExtension.create(ca),
        new peculiar.SubjectAlternativeNameExtension([
          { type: "url", value: SPIFFE_ID },
          ...DNS_NAMES.map((value) => ({ type: "dns" as const, value })),
        ]),
      ],
    });
  };
}

async function rate(issue: Issue): Promise<number> {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < SLICE_MS) await issue(count++);
  return count / ((performance.now() - start) / 1000);
}

function newPublicKey(): Buffer {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
    type: "spki",
    format: "der",
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

if (import.meta.main) console.log((await run()).join("\n"));
