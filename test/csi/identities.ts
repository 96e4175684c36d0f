import "reflect-metadata";
import { generateKeyPairSync, webcrypto } from "node:crypto";
import type { KeyObject } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { KeyType } from "../../src/ca/key-pair.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import type { FileToken, IssuedSvid, WorkloadIdentity } from "../../src/csi/ports.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";

x509.cryptoProvider.set(webcrypto);

const EC = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGN = { name: "ECDSA", hash: "SHA-256" } as const;
const START = Date.UTC(2026, 0, 1);
const END = START + 365 * 86_400_000 * 20;

const MAKE: Record<KeyType, () => { privateKey: KeyObject; publicKey: KeyObject }> = {
  "ec-p256": () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ec-p384": () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "rsa-2048": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "rsa-4096": () => generateKeyPairSync("rsa", { modulusLength: 4096 }),
};

export interface RichOptions {
  readonly keyType?: KeyType;
  /** One SVID for each, the default first. */
  readonly hints?: readonly string[];
  readonly federated?: readonly string[];
  readonly audiences?: readonly string[];
}

/** An identity with all that one can have: an intermediate, several SVIDs, foreign bundles and tokens. */
export async function makeRichIdentity(options: RichOptions = {}): Promise<WorkloadIdentity> {
  const { keyType = "ec-p256", hints = [""], federated = [], audiences = [] } = options;
  const root = await authorityOf("root");
  const intermediate = await authorityOf("intermediate", root);
  const { privateKey, publicKey } = MAKE[keyType]();
  const svids = await Promise.all(
    hints.map(async (hint, at): Promise<IssuedSvid> => {
      const spiffeId = `spiffe://example.org/ns/shop/sa/web-${at}`;
      const leaf = await issue({ publicKey, spiffeId, issuer: intermediate });
      return {
        spiffeId,
        chain: [leaf, intermediate.der],
        notBefore: START,
        notAfter: END,
        hint,
        entryId: `entry-${at}`,
        revision: `r${at}`,
        federatesWith: federated,
      };
    }),
  );
  return {
    svids,
    privateKey: privateKey.export({ format: "der", type: "pkcs8" }),
    bundle: bundleOf("example.org", [root.der]),
    federatedBundles: await Promise.all(
      federated.map(async (name) => bundleOf(name, [(await authorityOf(name)).der])),
    ),
    tokens: audiences.map((audience): FileToken => ({
      audience,
      spiffeId: "spiffe://example.org/ns/shop/sa/web-0",
      token: `header.${Buffer.from(audience).toString("base64url")}.signature`,
      issuedAt: START,
      expiresAt: START + 300_000,
    })),
  };
}

export function bundleOf(name: string, x509Authorities: readonly Buffer[]): Bundle {
  return {
    trustDomain: parseTrustDomain(name),
    x509Authorities,
    jwtAuthorities: [{ kid: "k1", kty: "EC", crv: "P-256", x: "eA", y: "eQ" }],
    sequence: 3,
    refreshHint: 60,
  };
}

interface Authority {
  readonly der: Buffer;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly name: string;
}

async function authorityOf(name: string, issuer?: Authority): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${issuer?.name ?? name}`,
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: SIGN,
    notBefore: new Date(START),
    notAfter: new Date(END),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return { der: Buffer.from(certificate.rawData), keys, name };
}

interface IssueOptions {
  readonly publicKey: KeyObject;
  readonly spiffeId: string;
  readonly issuer: Authority;
}

async function issue({ publicKey, spiffeId, issuer }: IssueOptions): Promise<Buffer> {
  const leaf = await x509.X509CertificateGenerator.create({
    subject: "O=SPIRE",
    issuer: `CN=${issuer.name}`,
    publicKey: new x509.PublicKey(publicKey.export({ format: "der", type: "spki" })),
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: SIGN,
    notBefore: new Date(START),
    notAfter: new Date(END),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }])],
  });
  return Buffer.from(leaf.rawData);
}
