import { pemBlock } from "../spiffe/pem.ts";
import { operatorId } from "../spiffe/reserved.ts";
import type { X509Issuer } from "./issuer.ts";
import { createKeyPair, privateKeyPem, spkiOf } from "./key-pair.ts";

/** A key and certificate for a TLS server of ours. */
export interface ServingCertificate {
  /** PKCS#8. */
  readonly keyPem: string;
  /** Leaf first, without the root. */
  readonly chainPem: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface ServingCertificateOptions {
  /** Names that clients connect to. */
  readonly dnsNames: readonly string[];
  readonly ttlMs: number;
  readonly now: number;
}

/** The names a cluster's DNS gives to a service that clients use with TLS. */
export function serviceDnsNames(
  service: string,
  namespace: string,
  clusterDomain: string,
): string[] {
  return [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.${clusterDomain}`];
}

/** Makes a fresh P-256 key and the operator's X509-SVID for it, which TLS clients accept for `dnsNames`; throws what `issue` throws. */
export async function createServingCertificate(
  issuer: X509Issuer,
  options: ServingCertificateOptions,
): Promise<ServingCertificate> {
  const { privateKey, publicKey } = await createKeyPair("ec-p256");
  const { uri } = operatorId(issuer.authority.trustDomain);
  const svid = await issuer.issue({ ...options, spiffeId: uri, publicKey: spkiOf(publicKey) });
  return {
    keyPem: privateKeyPem(privateKey),
    chainPem: svid.chain.map((der) => pemBlock("CERTIFICATE", der)).join(""),
    notBefore: svid.notBefore,
    notAfter: svid.notAfter,
  };
}
