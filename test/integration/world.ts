import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { createPrivateKey, X509Certificate } from "node:crypto";
import * as customResources from "../../src/api/resources.ts";
import type { ClusterSpiffeIdSpec } from "../../src/api/cluster-spiffe-id.ts";
import { systemClock } from "../../src/core/clock.ts";
import { parseConfig } from "../../src/core/config.ts";
import type { Config } from "../../src/core/config.ts";
import type { ServiceGroup } from "../../src/core/lifecycle.ts";
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  NODES,
  PODS,
} from "../../src/kube/resources.ts";
import type { ConfigMap, Pod } from "../../src/kube/types.ts";
import { agent } from "../../src/roles/agent.ts";
import { operator } from "../../src/roles/operator.ts";
import type { Process } from "../../src/roles/process.ts";
import { replaceFile } from "../agent/fixture.ts";
import { makeSandbox, recordingLog } from "../csi/fixtures.ts";
import type { Sandbox } from "../csi/fixtures.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import type { FakeApiServer } from "../fakes/api-server.ts";
import { fakeKubelet } from "../fakes/kubelet.ts";
import type { FakeKubelet, FakePod } from "../fakes/kubelet.ts";
import { fakeTokenIssuer } from "../fakes/tokens.ts";
import type { FakeTokenIssuer } from "../fakes/tokens.ts";

export const RELEASE = "signet-system";
const NODE = "node-a";
const OPERATOR_TOKEN = "token of the operator's service account";
const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/";

/** What a volume shows now. */
export interface ShownIdentity {
  readonly leaf: X509Certificate;
  /** Authorities in ca.crt. */
  readonly authorities: readonly X509Certificate[];
  /** Whether tls.key is the key of tls.crt. */
  readonly isPair: boolean;
}

/** A cluster of one node in one process: our operator and our agent are real, what is around them is not. */
export interface World {
  readonly api: FakeApiServer;
  readonly kubelet: FakeKubelet;
  readonly sandbox: Sandbox;
  readonly config: Config;
  readonly log: ReturnType<typeof recordingLog>;
  /** What ended a process. */
  readonly failures: unknown[];
  startOperator(): Promise<ServiceGroup>;
  /** Starts an agent and registers it with kubelet. */
  startAgent(): Promise<ServiceGroup>;
  putRule(name: string, spec: ClusterSpiffeIdSpec): void;
  /** Schedules a pod onto the node, with the label `app: <name>`. */
  createPod(name: string): FakePod;
  /** What kubelet does for the pod's volume before it starts the pod. */
  mount(pod: FakePod): Promise<void>;
  shown(pod: FakePod): ShownIdentity;
  close(): Promise<void>;
}

/** Lifetimes in milliseconds. */
interface Settings {
  readonly caTtlMs?: number;
  /** Of SVIDs. */
  readonly ttlMs?: number;
  /** Further fields of the operator's configuration, as JSON has them. */
  readonly operator?: object;
}

/** Builds the surroundings; starts neither operator nor agent. */
export async function openWorld(settings: Settings = {}): Promise<World> {
  const [sandbox, tokens, api] = await Promise.all([
    makeSandbox(),
    fakeTokenIssuer(),
    startFakeApiServer({ tokens: [OPERATOR_TOKEN] }),
  ]);
  const paths = makeFolders(sandbox.dir);
  const config = await makeConfig(paths, settings);
  const log = recordingLog();
  const failures: unknown[] = [];
  const agentUid = await prepareApi(api, tokens);
  projectBundle(api, paths.bundleDir);
  replaceFile(paths.tokenFile, await tokens.sign(agentClaims(agentUid)));
  const context = (env: Record<string, string>): Process => ({
    config,
    version: "test",
    env,
    readFile: serviceAccountFiles(api),
    clock: systemClock(),
    random: Math.random,
    log,
    fail: (error) => void failures.push(error),
  });
  const kubelet = fakeKubelet(paths.kubeletDir);
  const running = new Set<ServiceGroup>();
  const start = async (group: ServiceGroup): Promise<ServiceGroup> => {
    running.add(group);
    await group.start();
    return group;
  };
  const { hostname, port } = new URL(api.url);
  return {
    ...objects(api),
    api,
    kubelet,
    sandbox,
    config,
    log,
    failures,
    startOperator: () =>
      start(
        operator(
          context({
            KUBERNETES_SERVICE_HOST: hostname,
            KUBERNETES_SERVICE_PORT: port,
            POD_NAME: "signet-operator-0",
          }),
        ),
      ),
    async startAgent() {
      const group = await start(agent(context({ NODE_NAME: NODE })));
      await kubelet.register(config.agent.driverName);
      return group;
    },
    async mount(pod) {
      const { namespace, serviceAccount, name: podName, uid: podUid } = pod;
      const claims = { namespace, serviceAccount, podName, podUid, nodeName: NODE };
      await kubelet.mount(pod, { tokens: { signet: await tokens.sign(claims) } });
    },
    shown: (pod) => readIdentity(kubelet.target(pod)),
    async close() {
      kubelet.close();
      for (const group of [...running].toReversed()) await group.stop();
      await api.close();
      await sandbox.cleanUp();
    },
  };
}

function makeFolders(dir: string) {
  const paths = {
    kubeletDir: join(dir, "kubelet"),
    bundleDir: join(dir, "bundle"),
    tokenFile: join(dir, "token"),
  };
  mkdirSync(join(paths.kubeletDir, "pods"), { recursive: true });
  mkdirSync(paths.bundleDir);
  return paths;
}

async function makeConfig(
  paths: ReturnType<typeof makeFolders>,
  { caTtlMs = 90 * 86_400_000, ttlMs = 6000, operator: more = {} }: Settings,
): Promise<Config> {
  const [issuerPort, webhookPort, healthPort, inspectPort, agentPort] = await freePorts(5);
  const operatorAddress = `127.0.0.1:${issuerPort}`;
  return parseConfig(
    JSON.stringify({
      trustDomain: "example.org",
      operator: {
        x509SvidTtl: `${ttlMs}ms`,
        caTtl: `${caTtlMs}ms`,
        issuerPort,
        webhookPort,
        healthPort,
        inspectPort,
        ...more,
      },
      agent: { ...paths, operatorAddress, healthPort: agentPort },
    }),
  );
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** What the chart and the cluster bring before the operator starts. */
/** Fills the API server; resolves with the UID of the agent's pod. */
async function prepareApi(api: FakeApiServer, tokens: FakeTokenIssuer): Promise<string> {
  for (const resource of Object.values(customResources)) {
    if (typeof resource === "object") api.define(resource);
  }
  api.put(NODES, { metadata: { name: NODE } });
  for (const name of [RELEASE, "shop"]) api.put(NAMESPACES, { metadata: { name } });
  const agentMeta = { namespace: RELEASE, name: "signet-agent-a" };
  const agentSpec = { nodeName: NODE, serviceAccountName: "signet-agent" };
  const agentPod = api.put<Pod>(PODS, { metadata: agentMeta, spec: agentSpec });
  api.put(DEPLOYMENTS, { metadata: { namespace: RELEASE, name: "signet-operator" } });
  const webhooks = [{ name: "pods.signet.dev", clientConfig: { caBundle: "" } }];
  const configuration = { metadata: { name: "signet" }, webhooks };
  api.put(MUTATING_WEBHOOK_CONFIGURATIONS, configuration);
  const { issuer, jwks } = await tokens.keys();
  api.intercept = ({ path }) => {
    if (path === "/openid/v1/jwks") return { status: 200, body: jwks };
    if (path !== "/.well-known/openid-configuration") return undefined;
    return { status: 200, body: { issuer, jwks_uri: `${issuer}/openid/v1/jwks` } };
  };
  return agentPod.metadata.uid;
}

/** kubelet's part for the agent: the bundle's ConfigMap appears as files. */
function projectBundle(api: FakeApiServer, bundleDir: string): void {
  api.store.table(CONFIG_MAPS).listeners.add(({ object }) => {
    const { metadata, data = {} } = object as ConfigMap;
    if (metadata.name !== "signet-bundle") return;
    for (const [name, text] of Object.entries(data)) replaceFile(join(bundleDir, name), text);
  });
}

function serviceAccountFiles(api: FakeApiServer): (path: string) => string {
  const files = new Map([
    [`${SERVICE_ACCOUNT}token`, OPERATOR_TOKEN],
    [`${SERVICE_ACCOUNT}ca.crt`, api.ca],
    [`${SERVICE_ACCOUNT}namespace`, RELEASE],
  ]);
  return (path) => {
    const text = files.get(path);
    if (text === undefined) throw new Error(`ENOENT: ${path}`);
    return text;
  };
}

function agentClaims(podUid: string) {
  const expiresAt = Date.now() + 3_600_000;
  const pod = { podName: "signet-agent-a", podUid, nodeName: NODE };
  return { namespace: RELEASE, serviceAccount: "signet-agent", ...pod, expiresAt };
}

function objects(api: FakeApiServer): Pick<World, "putRule" | "createPod"> {
  return {
    putRule(name, spec) {
      const rule = { metadata: { name }, spec };
      api.put(customResources.CLUSTER_SPIFFE_IDS, rule);
    },
    createPod(name) {
      const { metadata } = api.put<Pod>(PODS, {
        metadata: { name, namespace: "shop", labels: { app: name } },
        spec: { nodeName: NODE, serviceAccountName: "web" },
        status: { phase: "Pending" },
      });
      return { uid: metadata.uid, name, namespace: "shop", serviceAccount: "web" };
    },
  };
}

function readIdentity(target: string): ShownIdentity {
  // One generation for all files: between two reads the agent may renew.
  const folder = join(target, readlinkSync(join(target, "..data")));
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const leaf = new X509Certificate(read("tls.crt"));
  const parts = read("ca.crt").match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? [];
  const authorities = parts.map((part) => new X509Certificate(part));
  return { leaf, authorities, isPair: leaf.checkPrivateKey(createPrivateKey(read("tls.key"))) };
}
