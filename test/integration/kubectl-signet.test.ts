import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CLUSTER_SPIFFE_IDS, CLUSTER_STATIC_ENTRIES } from "../../src/api/resources.ts";
import { parseCommand } from "../../src/cli/parse-command.ts";
import { runCommand } from "../../src/cli/run.ts";
import { startRegistry } from "../../src/controllers/registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { inspectServer } from "../../src/inspect/server.ts";
import { createIssueLog } from "../../src/issuer/issue-log.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import { NAMESPACES, NODES, PODS } from "../../src/kube/resources.ts";
import type { Pod } from "../../src/kube/types.ts";
import { NAMESPACE, openCluster, TRUST_DOMAIN } from "../controllers/cluster.ts";
import type { TestCluster } from "../controllers/cluster.ts";
import { servePortForward } from "../fakes/port-forward.ts";

const BY_ACCOUNT =
  "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";
const NOW = Date.UTC(2026, 0, 1, 12);
const OPERATOR = "signet-operator-0";

let cluster: TestCluster;

/** The real registry over a fake API server, and the way that the plugin takes to it. */
beforeAll(async () => {
  cluster = await openCluster();
  const { server, client } = cluster;
  server.put(NAMESPACES, { metadata: { name: "shop", labels: { team: "shop" } } });
  server.put(NODES, { metadata: { name: "worker-1" } });
  putRule("shop", { dnsNameTemplates: ["{{ .PodMeta.Name }}.shop"], ttl: "30m" });
  // The older one of two equal rules is in effect, and creation times have whole seconds.
  await new Promise((resolve) => setTimeout(resolve, 1001 - (Date.now() % 1000)));
  putRule("shop-copy", {});
  putRule("agents", { podSelector: { matchLabels: { role: "agent" } } });
  server.put(CLUSTER_STATIC_ENTRIES, {
    metadata: { name: "legacy" },
    spec: {
      spiffeID: "spiffe://example.org/legacy",
      parentID: "spiffe://example.org/spire/server",
      selectors: ["k8s:ns:billing"],
    },
  } as never);
  const uid = putPod("cart-0");
  putPod("cart-1");
  const labels = { "app.kubernetes.io/name": "signet", "app.kubernetes.io/component": "operator" };
  server.put<Pod>(PODS, {
    metadata: { name: OPERATOR, namespace: NAMESPACE, labels },
    spec: {},
    status: { phase: "Running" },
  });
  const registry = startRegistry({
    client,
    options: { trustDomain: TRUST_DOMAIN, clusterName: "kind", clusterDomain: "cluster.local" },
    clock: systemClock(),
    log: silentLog(),
    random: () => 0,
  });
  cluster.onClose(() => registry.stop());
  await registry.synced;
  const issues = createIssueLog(registry);
  issues.recordIssued(uid, {
    by: "renew",
    at: NOW - 180_000,
    notAfter: NOW + 1_620_000,
    spiffeIds: ["spiffe://example.org/ns/shop/sa/cart"],
  });
  issues.recordIssued(uid, {
    by: "issueJwt",
    at: NOW - 60_000,
    notAfter: NOW + 240_000,
    spiffeIds: ["spiffe://example.org/ns/shop/sa/cart"],
  });
  const inspect = inspectServer({
    port: 0,
    registry,
    issues,
    version: "0.1.0",
    trustDomain: TRUST_DOMAIN,
    defaultX509SvidTtl: 3600,
    log: silentLog(),
  });
  await inspect.start();
  cluster.onClose(() => inspect.stop());
  const ports = new Map([[8090, inspect.port()]]);
  servePortForward(server).pods.set(`${NAMESPACE}/${OPERATOR}`, ports);
});

afterAll(() => cluster.close());

function putRule(name: string, spec: object): void {
  cluster.server.put(CLUSTER_SPIFFE_IDS, {
    metadata: { name },
    spec: {
      spiffeIDTemplate: BY_ACCOUNT,
      namespaceSelector: { matchLabels: { team: "shop" } },
      ...spec,
    },
  } as never);
}

function putPod(name: string): string {
  const pod = {
    metadata: { name, namespace: "shop" },
    spec: { nodeName: "worker-1", serviceAccountName: "cart" },
    status: { phase: "Running" as const },
  };
  return cluster.server.put<Pod>(PODS, pod).metadata.uid;
}

async function run(line: string, stdin = ""): Promise<{ well: boolean; output: string }> {
  const pieces: string[] = [];
  const well = await runCommand(parseCommand(line.split(" ")), {
    version: "0.1.0",
    connect: () => {
      const config = cluster.server.config();
      return { config, client: createKubeClient({ config, clock: systemClock() }) };
    },
    readFile: async () => stdin,
    print: async (text) => void pieces.push(text),
    note: (line) => void pieces.push(`note: ${line}\n`),
    now: () => NOW,
  });
  return { well, output: pieces.join("") };
}

const cr = (name: string, template: string): string => `---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: ${name} }
spec:
  spiffeIDTemplate: ${JSON.stringify(template)}
  namespaceSelector: { matchLabels: { team: shop } }
`;

const withoutIds = (text: string): string =>
  text.replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b/g, "ID");

describe("kubectl signet, over the operator's own registry", () => {
  it("explains a pod: what it has, from where, and why not from elsewhere", async () => {
    const { well, output } = await run("explain pod shop/cart-0");
    expect(well).toBe(true);
    expect(withoutIds(output).replaceAll(/(the object is invalid: spec.selectors).*/g, "$1"))
      .toBe(`\
Pod:              shop/cart-0
UID:              ID
Node:             worker-1
Service account:  cart
Phase:            Running
Last issued:      2026-01-01T11:57:00Z (3m ago) by renew at signet-operator-0, until 2026-01-01T12:27:00Z (in 27m): spiffe://example.org/ns/shop/sa/cart
Last JWT-SVID:    2026-01-01T11:59:00Z (1m ago) by issueJwt at signet-operator-0, until 2026-01-01T12:04:00Z (in 4m): spiffe://example.org/ns/shop/sa/cart
Last error:       none

Identities:
  SPIFFE ID:           spiffe://example.org/ns/shop/sa/cart
  from:                ClusterSPIFFEID shop
  X509-SVID lifetime:  30m
  JWT-SVID lifetime:   the operator's default
  DNS names:           cart-0.shop
  selectors:           k8s:pod-uid:ID
  parent ID:           spiffe://example.org/spire/agent/k8s_psat/kind/ID
  federates with:      -
  flags:               -
  hint:                -
  entry ID:            ID

Considered:
  KIND                NAME       RESULT     SPIFFE ID                             WHY
  ClusterSPIFFEID     shop       set        spiffe://example.org/ns/shop/sa/cart  it gives the pod an entry
  ClusterSPIFFEID     shop-copy  masked     spiffe://example.org/ns/shop/sa/cart  masked by ClusterSPIFFEID shop, which gives the same SPIFFE ID for the same selectors
  ClusterSPIFFEID     agents     no match   -                                     podSelector does not match the pod's labels: it requires role=agent, the label is missing
  ClusterStaticEntry  legacy     not tried  -                                     the object is invalid: spec.selectors
`);
  });

  it("explains custom resources", async () => {
    const { output } = await run("explain clusterspiffeid shop");
    expect(withoutIds(output)).toContain("podsSelected 2, entriesToSet 2");
    expect(output).toMatch(
      /\nshop\/cart-0 +set +spiffe:\/\/example.org\/ns\/shop\/sa\/cart +cart-0.shop +2026-01-01T12:27:00Z/,
    );
    const invalid = await run("explain clusterstaticentry legacy -o json");
    expect(JSON.parse(invalid.output)).toMatchObject({
      kind: "ClusterStaticEntry",
      status: { ready: false, reason: "InvalidSelector" },
      pods: [],
    });
  });

  it("renders what is not applied beside what is", async () => {
    const fresh = cr("cart", "spiffe://{{ .TrustDomain }}/app/{{ .PodMeta.Name }}");
    expect(await run("render -f -", fresh)).toEqual({
      well: true,
      output: `\
ClusterSPIFFEID:  cart
Valid:            yes
Namespaces:       1 selected, 0 of them ignored
Pods:             2 selected
Results:          set 2

POD          RESULT  SPIFFE ID                        WHY
shop/cart-0  set     spiffe://example.org/app/cart-0  it gives the pod an entry
shop/cart-1  set     spiffe://example.org/app/cart-1  it gives the pod an entry
`,
    });
    expect((await run("render -f -", cr("later", BY_ACCOUNT))).output).toMatch(
      /Results: +masked 2\nDuplicates: +2 of the pods/,
    );
  });

  it("renders an object that cannot work, with the place of the fault", async () => {
    const broken = cr("broken", "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Nmae }}");
    const { well, output } = await run("render -f -", broken);
    expect(well).toBe(false);
    expect(output).toMatch(/^Problems:\n {2}spec.spiffeIDTemplate: 1:40: .*Nmae/m);
  });

  it("lists entries", async () => {
    expect((await run("entries -n shop")).output).toBe(`\
NAMESPACE  POD     NODE      SPIFFE ID                             SOURCE
shop       cart-0  worker-1  spiffe://example.org/ns/shop/sa/cart  ClusterSPIFFEID/shop
shop       cart-1  worker-1  spiffe://example.org/ns/shop/sa/cart  ClusterSPIFFEID/shop
`);
    expect((await run("entries --source shop-copy")).output).toBe("note: no entries\n");
  });
});
