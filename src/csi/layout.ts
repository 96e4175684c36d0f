import { bundleDocument, bundlePem } from "../spiffe/bundle.ts";
import { pemBlock } from "../spiffe/pem.ts";
import { isPayloadName } from "./atomic-writer.ts";
import type { Payload, PayloadFile } from "./atomic-writer.ts";
import type { WorkloadIdentity } from "./ports.ts";

/** Certificates are public. */
const CERTIFICATE_MODE = 0o444;
/** The tmpfs is the pod's alone: every user in the pod may read the key, unless a group was named. */
const OPEN_KEY_MODE = 0o444;
const GROUP_KEY_MODE = 0o440;

/** Names of the default SVID's chain, of its key and of the bundle: Kubernetes' own, then SPIRE's helper's. */
export const CHAIN_FILES = ["tls.crt", "svid.pem"] as const;
export const KEY_FILES = ["tls.key", "svid_key.pem"] as const;
export const BUNDLE_FILES = ["ca.crt", "bundle.pem"] as const;
export const BUNDLE_DOCUMENT = "bundle.json";
/** SPIFFE filesystem delivery (draft): the key and the chain in one file. */
export const CREDENTIAL_BUNDLE = "credential-bundle.pem";

/**
 * The files of a volume for an identity: the default SVID under all its names, and the bundle. With a group
 * the files that hold the key are for root and that group. A trust domain too long for a file name has no
 * `<trust domain>.trust-bundle.pem`.
 */
export function identityFiles(
  identity: WorkloadIdentity,
  options: { readonly gid: number | undefined },
): Payload {
  const chain = (identity.svids[0]?.chain ?? [])
    .map((der) => pemBlock("CERTIFICATE", der))
    .join("");
  const key = pemBlock("PRIVATE KEY", identity.privateKey);
  const bundle = publicFile(bundlePem(identity.bundle));
  const keyMode = options.gid === undefined ? OPEN_KEY_MODE : GROUP_KEY_MODE;
  const secretFile = (text: string): PayloadFile => ({ content: Buffer.from(text), mode: keyMode });
  const trustBundle = `${identity.bundle.trustDomain}.trust-bundle.pem`;
  return new Map<string, PayloadFile>([
    ...CHAIN_FILES.map((name) => [name, publicFile(chain)] as const),
    ...KEY_FILES.map((name) => [name, secretFile(key)] as const),
    ...BUNDLE_FILES.map((name) => [name, bundle] as const),
    [CREDENTIAL_BUNDLE, secretFile(key + chain)],
    [BUNDLE_DOCUMENT, publicFile(bundleDocument(identity.bundle))],
    ...(isPayloadName(trustBundle) ? [[trustBundle, bundle] as const] : []),
  ]);
}

function publicFile(text: string): PayloadFile {
  return { content: Buffer.from(text), mode: CERTIFICATE_MODE };
}
