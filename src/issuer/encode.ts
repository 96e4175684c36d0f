import { createPublicKey } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  BundleSchema,
  JwtSvidSchema,
  X509SvidSchema,
} from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { RegistrationEntry } from "../registration/entry.ts";
import type { BundleDocument } from "../spiffe/bundle-document.ts";
import type { Bundle, JwtAuthority } from "../spiffe/bundle.ts";
import type { IssuedCertificate, IssuedToken } from "./ports.ts";

export type BundleMessage = MessageInitShape<typeof BundleSchema>;

/** Gives a bundle as it travels to agents. */
export type EncodeBundle = (bundle: Bundle | BundleDocument) => BundleMessage;

/** Encodes bundles, our own and foreign ones, each once however many answers carry it. */
export function bundleEncoder(): EncodeBundle {
  const encoded = new WeakMap<Bundle | BundleDocument, BundleMessage>();
  return (bundle) => {
    const message = encoded.get(bundle) ?? encodeBundle(bundle);
    encoded.set(bundle, message);
    return message;
  };
}

function encodeBundle(bundle: Bundle | BundleDocument): BundleMessage {
  return {
    trustDomain: bundle.trustDomain,
    x509Authorities: [...bundle.x509Authorities],
    jwtAuthorities: bundle.jwtAuthorities.map(encodeJwtAuthority),
    sequence: BigInt(bundle.sequence ?? 0),
    refreshHint: Math.min(bundle.refreshHint ?? 0, MAX_UINT32),
  };
}

const MAX_UINT32 = 2 ** 32 - 1;

function encodeJwtAuthority({ kid, alg = "", ...key }: JwtAuthority) {
  const input = { key: key as JsonWebKey, format: "jwk" } as const;
  const publicKey = createPublicKey(input).export({ type: "spki", format: "der" });
  return { keyId: kid, publicKey, algorithm: alg };
}

/** An X509-SVID as it travels to agents. */
export function encodeSvid(
  entry: RegistrationEntry,
  certificate: IssuedCertificate,
): MessageInitShape<typeof X509SvidSchema> {
  return {
    entryId: entry.id,
    revision: entry.revision,
    spiffeId: entry.spiffeId,
    hint: entry.hint,
    federatesWith: [...entry.federatesWith],
    chain: [...certificate.chain],
    notBefore: BigInt(certificate.notBefore),
    notAfter: BigInt(certificate.notAfter),
  };
}

/** A JWT-SVID as it travels to agents. */
export function encodeJwtSvid(
  entry: RegistrationEntry,
  { token, issuedAt, expiresAt }: IssuedToken,
): MessageInitShape<typeof JwtSvidSchema> {
  return {
    entryId: entry.id,
    revision: entry.revision,
    spiffeId: entry.spiffeId,
    hint: entry.hint,
    token,
    issuedAt: BigInt(issuedAt),
    expiresAt: BigInt(expiresAt),
  };
}
