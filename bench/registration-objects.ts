/** Made-up objects of all kinds but pods in the shape and size of real ones; the same number gives the same object in every run. */
import type { ClusterSpiffeIdSpec } from "../src/api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS, SPIRE_API_VERSION } from "../src/api/resources.ts";
import type { KubeObject, Namespace, Node, ObjectMeta, Pod } from "../src/kube/types.ts";
import {
  APP_LABEL,
  CREATED,
  hex,
  mix,
  namespaceName,
  nodeName,
  pick,
  TIERS,
  VERSION_LABEL,
  VERSIONS,
} from "./registration-pods.ts";

/** A ClusterSPIFFEID as the API server holds it. */
export type BenchRule = KubeObject & { readonly spec: ClusterSpiffeIdSpec };

/** A ClusterStaticEntry as the API server holds it. */
export type BenchStaticEntry = KubeObject & { readonly spec: object };

/** The parts of an EndpointSlice that matter here. */
export type BenchEndpointSlice = KubeObject & {
  readonly endpoints: readonly { readonly targetRef: object }[];
};

const ENVIRONMENTS = ["prod", "staging", "dev"];
const TEAMS = 40;

/** A namespace, labelled as platform teams do. */
export function namespaceObject(index: number): Namespace {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: storedMeta(namespaceName(index), `n5${index}`, {
      labels: {
        "kubernetes.io/metadata.name": namespaceName(index),
        environment: pick(ENVIRONMENTS, index),
        team: `team-${index % TEAMS}`,
        "pod-security.kubernetes.io/enforce": "baseline",
      },
    }),
  };
}

/** A node of a cloud provider. */
export function nodeObject(index: number): Node {
  const name = nodeName(index);
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: storedMeta(name, `d0${index}`, {
      labels: {
        "beta.kubernetes.io/arch": "amd64",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m6i.2xlarge",
        "topology.kubernetes.io/region": "eu-central-1",
        "topology.kubernetes.io/zone": `eu-central-1${pick(["a", "b", "c"], index)}`,
      },
    }),
    spec: { providerID: `aws:///eu-central-1a/i-0${hex(index, 15)}`, podCIDR: "10.244.0.0/24" },
  };
}

/** A ClusterSPIFFEID with this spec. */
export function ruleObject(name: string, spec: Partial<ClusterSpiffeIdSpec>, index = 0): BenchRule {
  return {
    apiVersion: SPIRE_API_VERSION,
    kind: CLUSTER_SPIFFE_IDS.kind,
    metadata: storedMeta(name, `c1${name}`, {
      generation: 1,
      creationTimestamp: new Date(Date.parse(CREATED) + index * 1000).toISOString(),
    }),
    spec: { spiffeIDTemplate: DEFAULT_TEMPLATE, ...spec },
  };
}

/** A ClusterStaticEntry for the pods of one service account, on any node that has the alias. */
export function staticEntryObject(name: string, selectors: readonly string[]): BenchStaticEntry {
  return {
    metadata: storedMeta(name, `c2${name}`, { generation: 1 }),
    spec: { spiffeID: `spiffe://example.org/static/${name}`, parentID: NODES_ALIAS, selectors },
  };
}

/** The ClusterStaticEntry that gives all nodes one alias. */
export function nodesAliasObject(cluster: string): BenchStaticEntry {
  const parentID = "spiffe://example.org/spire/server";
  return {
    metadata: storedMeta("nodes", "c2nodes", { generation: 1 }),
    spec: { spiffeID: NODES_ALIAS, parentID, selectors: [`k8s_psat:cluster:${cluster}`] },
  };
}

/** An EndpointSlice of a Service that all these pods back. */
export function endpointSlice(index: number, pods: readonly Pod[]): BenchEndpointSlice {
  const namespace = pods[0]?.metadata.namespace ?? "";
  const name = `service-${index}-${hex(mix(index), 5)}`;
  const labels = { "kubernetes.io/service-name": `service-${index}` };
  return {
    metadata: storedMeta(name, `e5${index}`, { namespace, labels }),
    endpoints: pods.map(({ metadata: { uid, name } }) => ({
      targetRef: { kind: "Pod", namespace, name, uid },
    })),
  };
}

const NODES_ALIAS = "spiffe://example.org/nodes";
const DEFAULT_TEMPLATE =
  "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";
const APP_TEMPLATE =
  'spiffe://{{ .TrustDomain }}/{{ index .PodMeta.Labels "tier" }}/{{ .PodMeta.Name }}';
const SERVICE_TEMPLATE =
  "spiffe://{{ .TrustDomain }}/service/{{ .PodMeta.Namespace }}/{{ .PodSpec.ServiceAccountName }}";
const ZONE_TEMPLATE =
  'spiffe://{{ .TrustDomain }}/{{ index .NodeMeta.Labels "topology.kubernetes.io/zone" }}/{{ .PodSpec.ServiceAccountName }}';

/** One kind of ClusterSPIFFEID, and how many of a thousand are of it. */
interface Recipe {
  readonly share: number;
  readonly spec: (at: number) => Partial<ClusterSpiffeIdSpec>;
}

/** What a large, untidy cluster holds: most select one application, some everything, a few nothing. */
const RECIPES: readonly Recipe[] = [
  {
    share: 440,
    spec: (at) => ({
      podSelector: { matchLabels: { [APP_LABEL]: `app-${at}` } },
      namespaceSelector: {
        matchExpressions: [{ key: "environment", operator: "In", values: ["prod", "staging"] }],
      },
    }),
  },
  {
    share: 250,
    spec: (at) => ({
      spiffeIDTemplate: APP_TEMPLATE,
      podSelector: {
        matchLabels: { [APP_LABEL]: `app-${440 + at}`, [VERSION_LABEL]: `2.${at % VERSIONS}.0` },
      },
    }),
  },
  {
    share: 100,
    spec: (at) => ({
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespaceName(at) } },
      ...(at % 10 === 0 ? { autoPopulateDNSNames: true, spiffeIDTemplate: SERVICE_TEMPLATE } : {}),
      ttl: "30m",
    }),
  },
  {
    share: 100,
    spec: (at) => ({
      spiffeIDTemplate: ZONE_TEMPLATE,
      namespaceSelector: { matchLabels: { team: `team-${at % TEAMS}` } },
      podSelector: {
        matchExpressions: [{ key: "tier", operator: "In", values: [pick(TIERS, at / TEAMS)] }],
      },
    }),
  },
  {
    share: 60,
    spec: (at) => ({
      podSelector: { matchLabels: { [APP_LABEL]: `app-${700 + at}` } },
      dnsNameTemplates: [
        '{{ index .PodMeta.Labels "app.kubernetes.io/name" }}.{{ .PodMeta.Namespace }}.svc.{{ .ClusterDomain }}',
        '{{ index .PodMeta.Labels "app.kubernetes.io/name" }}.{{ .PodMeta.Namespace }}.svc',
      ],
      workloadSelectorTemplates: [
        "k8s:ns:{{ .PodMeta.Namespace }}",
        "k8s:sa:{{ .PodSpec.ServiceAccountName }}",
      ],
    }),
  },
  {
    share: 20,
    spec: (at) => ({
      podSelector: {
        matchExpressions: [
          { key: "tier", operator: "NotIn", values: TIERS },
          { key: `skip-${at}`, operator: "DoesNotExist" },
        ],
      },
    }),
  },
  { share: 3, spec: () => ({ fallback: true }) },
  {
    share: 1,
    spec: () => ({ spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/pod/{{ .PodMeta.UID }}" }),
  },
  { share: 16, spec: () => ({ className: "another" }) },
  { share: 10, spec: () => ({ spiffeIDTemplate: "spiffe://{{ .TrustDomain }" }) },
];

/** A thousand ClusterSPIFFEIDs; a running pod gets about three entries of them. */
export function thousandRules(): BenchRule[] {
  const specs = RECIPES.flatMap(({ share, spec }) =>
    Array.from({ length: share }, (_, at) => spec(at)),
  );
  return specs.map((spec, at) => ruleObject(`rule-${at}`, spec, at));
}

function storedMeta(name: string, uidStart: string, more: Partial<ObjectMeta>): ObjectMeta {
  return { name, uid: uidStart, resourceVersion: "1", creationTimestamp: CREATED, ...more };
}
