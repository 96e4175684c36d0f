import type { X509Certificate } from "node:crypto";
import { SignetError } from "../core/errors.ts";
import type { IssuedSvid, WorkloadIdentity } from "../csi/ports.ts";
import type {
  IssueResponse,
  X509Svid as SvidMessage,
} from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../spiffe/bundle.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import { MAX_SVIDS } from "../spiffe/svid.ts";
import type { BundleReader } from "./bundle-message.ts";
import { verifyChain } from "./chain.ts";
import type { KeyPair } from "./keys.ts";
import { uriSans } from "./uri-san.ts";

/** More foreign bundles than this are refused. */
const MAX_FOREIGN = 1000;

export interface ResponseContext {
  readonly bundles: BundleReader;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The bundle that was pushed last, if any. */
  readonly pushed?: Bundle | undefined;
}

/**
 * The identity that an answer of the operator gives to `key`. Nothing of it is believed unchecked: each
 * leaf must carry our public key and the one SPIFFE ID that was named, lie in the trust domain, live, and
 * verify against the bundle it will be shown with: that of the answer, or the pushed one when that is newer.
 * Throws MALFORMED or INVALID_SPIFFE_ID.
 */
export function identityFrom(
  response: IssueResponse,
  key: KeyPair,
  context: ResponseContext,
): WorkloadIdentity {
  if (!response.bundle) throw refused("holds no bundle");
  const { svids } = response;
  if (svids.length === 0) throw refused("holds no SVID");
  if (svids.length > MAX_SVIDS) throw refused(`holds more than ${MAX_SVIDS} SVIDs`);
  const answered = context.bundles.own(response.bundle);
  const { pushed } = context;
  const bundle = pushed && pushed.sequence > answered.sequence ? pushed : answered;
  return {
    svids: svids.map((svid) => svidFrom(svid, { key, bundle, now: context.now })),
    privateKey: key.privateKey,
    bundle,
    federatedBundles: federated(response, context.bundles),
    tokens: [],
  };
}

/** Those that some SVID federates with, in the order of their names. */
function federated({ svids, federatedBundles }: IssueResponse, bundles: BundleReader): Bundle[] {
  if (federatedBundles.length > MAX_FOREIGN)
    throw refused(`holds more than ${MAX_FOREIGN} bundles`);
  const named = new Set(svids.flatMap(({ federatesWith }) => federatesWith));
  const byName = new Map(
    federatedBundles
      .filter(({ trustDomain }) => named.has(trustDomain))
      .map((message) => [message.trustDomain, bundles.foreign(message)]),
  );
  const sorted = [...byName].toSorted(([x], [y]) => (x < y ? -1 : 1));
  return sorted.map(([, bundle]) => bundle);
}

interface SvidContext {
  readonly key: KeyPair;
  readonly bundle: Bundle;
  readonly now: number;
}

function svidFrom(message: SvidMessage, { key, bundle, now }: SvidContext): IssuedSvid {
  const id = parseSpiffeId(message.spiffeId);
  if (!isMemberOf(id, bundle.trustDomain)) throw refused(`holds the foreign SPIFFE ID ${id.uri}`);
  const chain = message.chain.map((der) => Buffer.from(der));
  const leaf = verifyChain({ chain, authorities: bundle.x509Authorities, now });
  checkLeaf(leaf, id.uri, key);
  return {
    spiffeId: id.uri,
    chain,
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    hint: message.hint,
    entryId: message.entryId,
    revision: message.revision,
    federatesWith: message.federatesWith,
  };
}

function checkLeaf(leaf: X509Certificate, spiffeId: string, key: KeyPair): void {
  const [uri, ...others] = uriSans(leaf.subjectAltName);
  if (uri !== spiffeId || others.length > 0) {
    throw refused(`holds a leaf whose only URI SAN is not ${spiffeId}`);
  }
  if (!leaf.publicKey.export({ type: "spki", format: "der" }).equals(key.publicKey)) {
    throw refused("holds a leaf for another public key");
  }
}

function refused(fact: string): SignetError {
  return new SignetError("MALFORMED", `answer of the operator ${fact}`);
}
