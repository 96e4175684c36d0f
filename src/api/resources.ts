/** How the API server addresses a kind; the same shape as the descriptors of the API-server client. */
export interface ResourceDescriptor {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export const SPIRE_GROUP = "spire.spiffe.io";
export const SPIRE_VERSION = "v1alpha1";
export const SPIRE_API_VERSION = `${SPIRE_GROUP}/${SPIRE_VERSION}`;

export const CLUSTER_SPIFFE_IDS = clusterScoped("clusterspiffeids", "ClusterSPIFFEID");
export const CLUSTER_STATIC_ENTRIES = clusterScoped("clusterstaticentries", "ClusterStaticEntry");
export const CLUSTER_FEDERATED_TRUST_DOMAINS = clusterScoped(
  "clusterfederatedtrustdomains",
  "ClusterFederatedTrustDomain",
);

function clusterScoped(plural: string, kind: string): ResourceDescriptor {
  return { group: SPIRE_GROUP, version: SPIRE_VERSION, plural, kind, namespaced: false };
}
