import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { errorMessage, SignetError } from "../core/errors.ts";
import { parsePem, pemBlock } from "../spiffe/pem.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { readCertificate } from "./certificate-reader.ts";
import type { CertificateInfo } from "./certificate-reader.ts";
import { createSerial, signCertificate } from "./certificate.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "./extensions.ts";
import { createKeyPair, privateKeyPem, spkiOf } from "./key-pair.ts";
import type { KeyType } from "./key-pair.ts";
import { DEFAULT_BACKDATE_MS, wholeSecond } from "./leaf.ts";
import { distinguishedName, isEmptyName } from "./name.ts";
import { parsePublicKey } from "./public-key.ts";
import type { X509AuthorityMaterial } from "./record.ts";
import { createSigner } from "./signer.ts";

/** An X.509 authority ready to sign. */
export interface X509Authority {
  /** Subject key identifier in lower-case hex. */
  readonly id: string;
  readonly trustDomain: TrustDomain;
  readonly keyType: KeyType;
  readonly certificate: Buffer;
  /** Certificates between this one and the root, in DER. */
  readonly chain: readonly Buffer[];
  /** Whether the bundle carries the certificate itself; otherwise SVIDs must bring it along. */
  readonly isRoot: boolean;
  readonly subject: Buffer;
  readonly keyIdentifier: Buffer;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly privateKey: KeyObject;
}

export interface CreateAuthorityOptions {
  readonly trustDomain: TrustDomain;
  /** "ec-p256" when left out. */
  readonly keyType?: KeyType;
  readonly ttlMs: number;
  readonly now: number;
  readonly backdateMs?: number;
}

const CA_CONSTRAINTS = basicConstraints(true);
const CA_USAGE = keyUsage(["keyCertSign", "cRLSign"]);

/**
 * Makes a self-signed X.509 authority that is an SVID itself (SPIFFE-ID §3.1, X509-SVID §3.2): URI SAN
 * `spiffe://<trust domain>`, and a subject with its serial number, so that no two authorities share a name.
 * Throws INVALID_ARGUMENT when the lifetime is shorter than a second.
 */
export async function createX509Authority(
  options: CreateAuthorityOptions,
): Promise<X509AuthorityMaterial> {
  const {
    trustDomain,
    keyType = "ec-p256",
    ttlMs,
    now,
    backdateMs = DEFAULT_BACKDATE_MS,
  } = options;
  parseTrustDomain(trustDomain);
  if (!(ttlMs >= 1000))
    throw new SignetError("INVALID_ARGUMENT", `an authority cannot live for ${ttlMs} ms`);
  const { privateKey, publicKey } = await createKeyPair(keyType);
  const { spki, keyIdentifier } = parsePublicKey(spkiOf(publicKey));
  const serial = createSerial();
  const subject = distinguishedName({
    commonName: trustDomain,
    serialNumber: serial.toString("hex"),
  });
  const notBefore = wholeSecond(now - backdateMs);
  const notAfter = wholeSecond(now + ttlMs);
  const extensions = [
    CA_CONSTRAINTS,
    CA_USAGE,
    subjectKeyIdentifier(keyIdentifier),
    authorityKeyIdentifier(keyIdentifier),
    subjectAltName(`spiffe://${trustDomain}`, [], isEmptyName(subject)),
  ];
  const certificate = await signCertificate(
    { serial, issuer: subject, subject, notBefore, notAfter, spki, extensions },
    createSigner(privateKey),
  );
  return {
    id: keyIdentifier.toString("hex"),
    keyType,
    certificate: pemBlock("CERTIFICATE", certificate),
    privateKey: privateKeyPem(privateKey),
    notBefore,
    notAfter,
  };
}

/**
 * Makes a stored authority ready to sign, after checking that its parts fit: a CA certificate that may
 * sign (X509-SVID §3.2), of this trust domain, with this key, ID and these times.
 * Throws MALFORMED with the authority's ID and the first thing that does not fit; never shows the key.
 */
export function loadX509Authority(
  material: X509AuthorityMaterial,
  trustDomain: TrustDomain,
): X509Authority {
  try {
    return assembleAuthority(material, trustDomain);
  } catch (error) {
    throw new SignetError("MALFORMED", `X.509 authority ${material.id}: ${errorMessage(error)}`);
  }
}

function assembleAuthority(
  material: X509AuthorityMaterial,
  trustDomain: TrustDomain,
): X509Authority {
  const certificate = oneCertificate(material.certificate);
  const chain = (material.chain ?? []).map(oneCertificate);
  for (const root of material.roots ?? []) readCertificate(oneCertificate(root));
  const info = readCertificate(certificate);
  const { keyIdentifier } = info;
  const privateKey = readPrivateKey(material.privateKey);
  const misfit = findMisfit({ material, info, chain, certificate, privateKey, trustDomain });
  if (misfit !== undefined || keyIdentifier === undefined) {
    throw new SignetError("MALFORMED", misfit ?? "certificate has no key identifier");
  }
  return {
    id: material.id,
    trustDomain,
    keyType: material.keyType,
    certificate,
    chain,
    isRoot: material.roots === undefined,
    subject: info.subject,
    keyIdentifier,
    notBefore: material.notBefore,
    notAfter: material.notAfter,
    privateKey,
  };
}

interface LoadedParts {
  readonly material: X509AuthorityMaterial;
  readonly info: CertificateInfo;
  readonly chain: readonly Buffer[];
  readonly certificate: Buffer;
  readonly privateKey: KeyObject;
  readonly trustDomain: TrustDomain;
}

function findMisfit({
  material,
  info,
  chain,
  certificate,
  privateKey,
  trustDomain,
}: LoadedParts): string | undefined {
  const end = Math.min(info.notAfter, ...chain.map((der) => readCertificate(der).notAfter));
  if (!info.isCa) return "certificate is not a CA";
  if (!info.keyUsages.includes("keyCertSign")) return "certificate may not sign certificates";
  if (isEmptyName(info.subject)) return "certificate has an empty subject";
  if (info.keyIdentifier?.toString("hex") !== material.id)
    return "ID is not the certificate's subject key identifier";
  if (info.uris.some((uri) => uri !== `spiffe://${trustDomain}`))
    return `certificate is not of trust domain ${trustDomain}`;
  if (info.notBefore !== material.notBefore || end !== material.notAfter)
    return "times are not those of the certificate";
  if (!new X509Certificate(certificate).checkPrivateKey(privateKey))
    return "private key is not that of the certificate";
  return undefined;
}

function oneCertificate(pem: string): Buffer {
  const [first, ...more] = parsePem("CERTIFICATE", pem);
  if (first === undefined || more.length > 0)
    throw new SignetError("MALFORMED", "there must be one certificate per PEM text");
  return first;
}

function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause stays here: it is about key bytes.
    throw new SignetError("MALFORMED", "private key cannot be read");
  }
}
