import { isFileName } from "../api/volume-attributes/file-name.ts";
import type { FILE_SETS, FileSet, FixedFile } from "../api/volume-attributes/files.ts";
import {
  FEDERATED_FOLDER,
  JWT_FOLDER,
  SVIDS_FOLDER,
  TRUST_BUNDLE_SUFFIX,
} from "../api/volume-attributes/names.ts";
import { parseVolumeAttributes } from "../api/volume-attributes/parse.ts";
import type { VolumeAttributes } from "../api/volume-attributes/parse.ts";
import { bundleDocument, bundlePem } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { pemBlock } from "../spiffe/pem.ts";
import type { Payload, PayloadFile } from "./atomic-writer.ts";
import { jksKeystore, jksTruststore } from "./keystore-jks.ts";
import { pkcs12Keystore, pkcs12Truststore } from "./keystore-pkcs12.ts";
import { privateKeyPem } from "./layout-key.ts";
import { svidFolders } from "./layout-svids.ts";
import type { IssuedSvid, WorkloadIdentity } from "./ports.ts";
import type { VolumeSpec } from "./request.ts";

/** How a pod wants its files. */
export interface FileLayout extends VolumeAttributes {
  readonly keyMode: number;
}

/** What a volume shows also while its pod has no identity. */
export type TrustBundles = Pick<WorkloadIdentity, "bundle" | "federatedBundles">;

export interface LayoutMoment {
  /** Milliseconds since the epoch, for the file `rotated`. */
  readonly now: number;
  /** A file as it is shown now, when it shows these very contents; what costs or tells time is taken from it. */
  readonly previous: (name: string) => Buffer | undefined;
}

/** Which files to make, and how. */
interface Draft extends LayoutMoment {
  readonly layout: FileLayout;
}

type NamedFile = readonly [name: string, file: PayloadFile];

/** The tmpfs is the pod's alone: every user in the pod may read the key, unless a group or an owner was named. */
const OPEN_KEY_MODE = 0o444;
const GROUP_KEY_MODE = 0o440;
const OWNER_KEY_MODE = 0o400;

/** Works out the layout that the attributes of a volume ask for. Throws INVALID_ARGUMENT as their parser does. */
export function layoutOf({ attributes, gid }: Pick<VolumeSpec, "attributes" | "gid">): FileLayout {
  const parsed = parseVolumeAttributes(attributes, "volume attribute");
  const closed = parsed.uid === undefined ? OPEN_KEY_MODE : OWNER_KEY_MODE;
  const keyMode = parsed.keyMode ?? (gid === undefined ? closed : GROUP_KEY_MODE);
  return { ...parsed, gid, keyMode };
}

/**
 * The files of a volume for an identity: the default SVID, its key, trust bundles, other SVIDs and tokens, as
 * far as the layout asks for them. What has no valid file name of its own, such as the bundle of a trust domain
 * with an overlong name, is left out. Same input, same bytes.
 */
export function identityFiles(
  identity: WorkloadIdentity,
  layout: FileLayout,
  moment: LayoutMoment,
): Payload {
  const draft = { layout, ...moment };
  return new Map([
    ...bundleFiles(identity, draft),
    ...defaultSvidFiles(identity, draft),
    ...namedSvidFiles(identity, draft),
    ...tokenFiles(identity, draft),
  ]);
}

/** The files of a volume whose pod has no identity any more: trust bundles and truststores. */
export function trustBundleFiles(
  bundles: TrustBundles,
  layout: FileLayout,
  moment: LayoutMoment,
): Payload {
  return new Map(bundleFiles(bundles, { layout, ...moment }));
}

function bundleFiles({ bundle, federatedBundles }: TrustBundles, draft: Draft): NamedFile[] {
  const { layout, now } = draft;
  const { trustDomain, x509Authorities } = bundle;
  const foreign = federatedBundles.filter((other) => other.trustDomain !== trustDomain);
  const pem = bundlePem(bundle);
  const password = layout.keystorePassword;
  const createdAt = 0;
  return [
    ...fixed("kubernetes", "ca.crt", draft, () => shown(pem, layout)),
    ...fixed("spiffe-helper", "bundle.pem", draft, () => shown(pem, layout)),
    ...fixed("bundle-json", "bundle.json", draft, () => shown(bundleDocument(bundle), layout)),
    ...fixed("pkcs12", "truststore.p12", draft, (before) =>
      shown(before ?? pkcs12Truststore(x509Authorities, password), layout),
    ),
    ...fixed("jks", "truststore.jks", draft, (before) =>
      shown(before ?? jksTruststore(x509Authorities, { password, createdAt }), layout),
    ),
    ...fixed("rotated", "rotated", draft, (before) =>
      shown(before ?? `${new Date(now).toISOString()}\n`, layout),
    ),
    ...perTrustDomain("credential-bundle", [bundle, ...foreign], draft),
    ...perTrustDomain("federated", foreign, draft),
  ];
}

function perTrustDomain(
  set: "credential-bundle" | "federated",
  bundles: readonly Bundle[],
  { layout }: Draft,
): NamedFile[] {
  if (!layout.fileSets.has(set)) return [];
  const [folder, suffix] =
    set === "federated" ? [`${FEDERATED_FOLDER}/`, ".pem"] : ["", TRUST_BUNDLE_SUFFIX];
  return bundles.flatMap((bundle) => {
    const name = `${bundle.trustDomain}${suffix}`;
    return isFileName(name)
      ? [[`${folder}${name}`, shown(bundlePem(bundle), layout)] as const]
      : [];
  });
}

function defaultSvidFiles({ svids, privateKey }: WorkloadIdentity, draft: Draft): NamedFile[] {
  const { layout } = draft;
  const svid = svids[0];
  if (svid === undefined) return [];
  const chain = chainPem(svid);
  const key = privateKeyPem(privateKey, layout.keyFormat);
  const entry = { privateKey, chain: svid.chain, createdAt: svid.notBefore };
  const password = layout.keystorePassword;
  return [
    ...fixed("kubernetes", "tls.crt", draft, () => shown(chain, layout)),
    ...fixed("kubernetes", "tls.key", draft, () => closed(key, layout)),
    ...fixed("spiffe-helper", "svid.pem", draft, () => shown(chain, layout)),
    ...fixed("spiffe-helper", "svid_key.pem", draft, () => closed(key, layout)),
    // The draft knows PKCS#8 only.
    ...fixed("credential-bundle", "credential-bundle.pem", draft, () =>
      closed(privateKeyPem(privateKey, "pkcs8") + chain, layout),
    ),
    ...fixed("combined", "tls-combined.pem", draft, () => closed(key + chain, layout)),
    ...fixed("pkcs12", "keystore.p12", draft, (before) =>
      closed(before ?? pkcs12Keystore(entry, password), layout),
    ),
    ...fixed("jks", "keystore.jks", draft, (before) =>
      closed(before ?? jksKeystore(entry, password), layout),
    ),
  ];
}

function namedSvidFiles(
  { svids, privateKey, bundle }: WorkloadIdentity,
  { layout }: Draft,
): NamedFile[] {
  if (!layout.fileSets.has("svids")) return [];
  const key = closed(privateKeyPem(privateKey, layout.keyFormat), layout);
  const authorities = shown(bundlePem(bundle), layout);
  return [...svidFolders(svids)].flatMap(([folder, svid]) => [
    [`${SVIDS_FOLDER}/${folder}/tls.crt`, shown(chainPem(svid), layout)] as const,
    [`${SVIDS_FOLDER}/${folder}/tls.key`, key] as const,
    [`${SVIDS_FOLDER}/${folder}/ca.crt`, authorities] as const,
  ]);
}

/** The token alone, without a newline: that is how clients of STS, Vault and Azure read it. */
function tokenFiles({ tokens }: WorkloadIdentity, { layout }: Draft): NamedFile[] {
  return layout.jwtFiles.flatMap(({ name, audience }) => {
    const found = tokens.find((token) => token.audience === audience);
    if (found === undefined) return [];
    return [[`${JWT_FOLDER}/${name}`, closed(found.token, layout)] as const];
  });
}

/** A file of a set under the name that the pod wants, if the set is chosen. */
function fixed<S extends FileSet>(
  set: S,
  file: (typeof FILE_SETS)[S][number] & FixedFile,
  { layout, previous }: Draft,
  make: (before: Buffer | undefined) => PayloadFile,
): NamedFile[] {
  if (!layout.fileSets.has(set)) return [];
  const name = layout.fileNames.get(file) ?? file;
  return [[name, make(previous(name))]];
}

function chainPem(svid: IssuedSvid): string {
  return svid.chain.map((der) => pemBlock("CERTIFICATE", der)).join("");
}

function shown(content: string | Buffer, { fileMode }: FileLayout): PayloadFile {
  return { content: Buffer.from(content), mode: fileMode };
}

function closed(content: string | Buffer, { keyMode }: FileLayout): PayloadFile {
  return { content: Buffer.from(content), mode: keyMode };
}
