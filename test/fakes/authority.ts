import "reflect-metadata";
import { createHash, createPublicKey, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { pemBlock } from "../../src/spiffe/pem.ts";

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

const CA_USAGE = x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyCertSign;

/** What a leaf of a test authority says; times in milliseconds since the epoch. */
export interface LeafRequest {
  readonly uris: readonly string[];
  readonly dnsNames?: readonly string[];
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly isCa?: boolean;
}

/** A CA that is made by a library which Signet itself does not run on. */
export interface TestAuthority {
  /** The CA certificate in DER. */
  readonly der: Buffer;
  readonly pem: string;
  /** A certificate in DER. */
  issue(request: LeafRequest): Promise<Buffer>;
  /** A CA below this one, or what may sign but is not one. */
  intermediate(name: string, options?: { isCa: boolean }): Promise<TestAuthority>;
}

/** Key and certificate chain of a TLS server. */
export interface ServerCredentials {
  readonly key: string;
  readonly certificate: string;
}

/** Makes a root CA that is valid from an hour ago for ten years. */
export async function testAuthority(name: string): Promise<TestAuthority> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 10 * 365 * 86_400_000),
    signingAlgorithm: EC,
    keys,
    extensions: await caExtensions(keys.publicKey),
  });
  return authorityOf(certificate, keys);
}

/** A fresh key with a certificate that names `uris`, as PEM for a TLS server. */
export async function serverCredentials(
  authority: TestAuthority,
  uris: readonly string[],
  validity: { notBefore?: number; notAfter?: number; isCa?: boolean } = {},
): Promise<ServerCredentials> {
  const keys = await generateKeys();
  const publicKey = Buffer.from(await webcrypto.subtle.exportKey("spki", keys.publicKey));
  const privateKey = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const notBefore = Date.now() - 60_000;
  const request = { uris, publicKey, notBefore, notAfter: Date.now() + 3_600_000, ...validity };
  const leaf = await authority.issue(request);
  return {
    key: pemBlock("PRIVATE KEY", privateKey),
    certificate: pemBlock("CERTIFICATE", leaf) + authority.pem,
  };
}

function authorityOf(
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): TestAuthority {
  const der = Buffer.from(certificate.rawData);
  const sign = async (
    subject: string,
    publicKey: webcrypto.CryptoKey,
    rest: { notBefore: number; notAfter: number; extensions: x509.Extension[] },
  ): Promise<x509.X509Certificate> =>
    x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject,
      issuer: certificate.subjectName,
      notBefore: new Date(rest.notBefore),
      notAfter: new Date(rest.notAfter),
      signingAlgorithm: EC,
      signingKey: keys.privateKey,
      publicKey,
      extensions: rest.extensions,
    });
  return {
    der,
    pem: pemBlock("CERTIFICATE", der),
    async issue({ uris, dnsNames = [], publicKey, notBefore, notAfter, isCa = false }) {
      const kind = algorithmOf(publicKey);
      const key = await webcrypto.subtle.importKey("spki", publicKey, kind, true, ["verify"]);
      const extensions = [
        new x509.BasicConstraintsExtension(isCa, undefined, true),
        new x509.KeyUsagesExtension(isCa ? CA_USAGE : x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.SubjectAlternativeNameExtension([
          ...uris.map((value) => ({ type: "url" as const, value })),
          ...dnsNames.map((value) => ({ type: "dns" as const, value })),
        ]),
      ];
      const leaf = await sign("O=Test", key, { notBefore, notAfter, extensions });
      return Buffer.from(leaf.rawData);
    },
    async intermediate(name, { isCa } = { isCa: true }) {
      const below = await generateKeys();
      const extensions = await caExtensions(below.publicKey, isCa);
      const notAfter = certificate.notAfter.getTime();
      const rest = { notBefore: certificate.notBefore.getTime(), notAfter, extensions };
      return authorityOf(await sign(`CN=${name}`, below.publicKey, rest), below);
    },
  };
}

/** How webcrypto names the kind of a key in SubjectPublicKeyInfo. */
function algorithmOf(spki: Uint8Array) {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  if (key.asymmetricKeyType === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const { crv = "P-256" } = key.export({ format: "jwk" });
  return { name: "ECDSA", namedCurve: crv };
}

async function caExtensions(key: webcrypto.CryptoKey, isCa = true): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(isCa, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    await x509.SubjectKeyIdentifierExtension.create(key),
  ];
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
}

function serial(): string {
  const bytes = createHash("sha256").update(webcrypto.randomUUID()).digest().subarray(0, 16);
  return `01${bytes.toString("hex")}`;
}
