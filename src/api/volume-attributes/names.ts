/** Everything under it is ours: a key that is not known is an error, so that a misspelt one is not lost. */
export const ATTRIBUTE_PREFIX = "signet.dev/";

/** What a pod may say of its volume: `volumeAttributes` of the volume, or annotations of the pod. */
export const ATTRIBUTES = {
  optional: "signet.dev/optional",
  fsGroup: "signet.dev/fs-group",
  uid: "signet.dev/uid",
  jwtAudiences: "signet.dev/jwt-audiences",
  files: "signet.dev/files",
  fileNames: "signet.dev/file-names",
  fileMode: "signet.dev/file-mode",
  keyMode: "signet.dev/key-mode",
  keyFormat: "signet.dev/key-format",
  keyType: "signet.dev/key-type",
  keystorePassword: "signet.dev/keystore-password",
  onRemoval: "signet.dev/on-removal",
  notify: "signet.dev/notify",
} as const;

export const ATTRIBUTE_NAMES: readonly string[] = Object.values(ATTRIBUTES).toSorted();

/** cert-manager's csi-driver-spiffe calls it so; pods written for it keep working. */
export const FS_GROUP_ALIAS = "spiffe.csi.cert-manager.io/fs-group";

/** Names of the Workload API's socket in the volume. */
export const SOCKET_NAMES: readonly string[] = ["api.sock", "spire-agent.sock", "socket"];

/** Folders of files whose names are not known beforehand. */
export const JWT_FOLDER = "jwt";
export const FEDERATED_FOLDER = "federated";
export const SVIDS_FOLDER = "svids";
/** Behind the name of a trust domain (SPIFFE filesystem delivery, draft). */
export const TRUST_BUNDLE_SUFFIX = ".trust-bundle.pem";
