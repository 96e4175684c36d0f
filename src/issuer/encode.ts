import type { MessageInitShape } from "@bufbuild/protobuf";
import type { BundleSchema, X509SvidSchema } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { RegistrationEntry } from "../registration/entry.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { IssuedCertificate } from "./ports.ts";

/** A bundle as it travels to agents. */
export function encodeBundle(bundle: Bundle): MessageInitShape<typeof BundleSchema> {
  return {
    trustDomain: bundle.trustDomain,
    x509Authorities: [...bundle.x509Authorities],
    sequence: BigInt(bundle.sequence),
    refreshHint: bundle.refreshHint,
  };
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
    chain: [...certificate.chain],
    notBefore: BigInt(certificate.notBefore),
    notAfter: BigInt(certificate.notAfter),
  };
}
