import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { KubeClient } from "../src/kube/client.ts";
import { CONFIG_MAPS, NAMESPACES } from "../src/kube/resources.ts";
import type { Resource } from "../src/kube/resources.ts";
import type { ConfigMap, KubeObject } from "../src/kube/types.ts";
import { must } from "../test/e2e/cluster/exec.ts";
import type { ApiServer } from "./api-server.ts";
import { freePort, startProgram } from "./api-server-process.ts";

export const OPERATOR_NAMESPACE = "signet-system";
export const TRUST_DOMAIN = "example.org";
const ACCOUNT = "signet-operator";
const AGENT_ACCOUNT = "signet-agent";
const START_MS = 120_000;
const POLL_MS = 10;
const TOKEN_SECONDS = 24 * 3600;
const ROOT = join(import.meta.dirname, "..");

const SERVICE_ACCOUNTS: Resource = {
  group: "",
  version: "v1",
  plural: "serviceaccounts",
  kind: "ServiceAccount",
  namespaced: true,
};

/** What a process has used: seconds of CPU since it began, bytes of resident memory now and at most. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly rss: number;
  /** NaN where there is no /proc. */
  readonly peakRss: number;
}

/** The operator as it is shipped, running beside the API server instead of in a pod. */
export interface Operator {
  readonly issuerAddress: string;
  /** From the start of the process until it was ready: everything listed, every entry computed. */
  readonly readyMs: number;
  /** PEM of the trust bundle that it published. */
  bundle(): Promise<string>;
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

/** Builds dist/, and makes the namespace and the service accounts that the chart would make. */
export async function prepareOperator({ client }: ApiServer): Promise<void> {
  await must([process.execPath, join(ROOT, "scripts", "build.ts")], { cwd: ROOT });
  await client.create(NAMESPACES, { metadata: { name: OPERATOR_NAMESPACE } });
  for (const name of [ACCOUNT, AGENT_ACCOUNT]) {
    await client.create(SERVICE_ACCOUNTS, { metadata: { name, namespace: OPERATOR_NAMESPACE } });
  }
}

/** Starts the operator and waits until it is ready. */
export async function startOperator(api: ApiServer): Promise<Operator> {
  const account = await accountFolder(api);
  const ports = {
    issuerPort: await freePort(),
    webhookPort: await freePort(),
    healthPort: await freePort(),
    inspectPort: await freePort(),
  };
  const issuerAddress = `127.0.0.1:${ports.issuerPort}`;
  const config = join(api.folder, "operator.json");
  await writeFile(
    config,
    JSON.stringify({
      trustDomain: TRUST_DOMAIN,
      clusterName: "bench",
      operator: ports,
      agent: { operatorAddress: issuerAddress },
    }),
  );
  const command = await shippedCommand();
  const startedAt = performance.now();
  const program = startProgram({
    name: "operator",
    argv: [...command, "operator", `--config=${config}`],
    env: {
      NODE_ENV: "production",
      KUBERNETES_SERVICE_HOST: api.host,
      KUBERNETES_SERVICE_PORT: String(api.port),
      POD_NAME: "signet-operator-bench",
      POD_NAMESPACE: OPERATOR_NAMESPACE,
      SIGNET_BENCH_ACCOUNT: account,
    },
    logFile: join(api.folder, "operator.log"),
    signal: "TERM",
  });
  const health = `http://127.0.0.1:${ports.healthPort}`;
  await untilReady(`${health}/readyz`, () => program.check());
  return {
    issuerAddress,
    readyMs: performance.now() - startedAt,
    bundle: () => publishedBundle(api.client),
    usage: () => usageOf(`${health}/metrics`, program.pid()),
    stop: () => program.stop(),
  };
}

/** The agents' token for one node, bound to the agent's pod there. */
export async function agentToken(client: KubeClient, pod: KubeObject): Promise<string> {
  const { name, uid } = pod.metadata;
  return requestToken(client, AGENT_ACCOUNT, {
    audiences: ["signet"],
    boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
  });
}

/** The image's own command line, with the same options of Node.js, but from dist/ and with the account's files. */
async function shippedCommand(): Promise<string[]> {
  const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
  const entrypoint = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1];
  if (entrypoint === undefined) throw new Error("the Dockerfile has no ENTRYPOINT as a JSON list");
  const [, ...rest] = JSON.parse(entrypoint) as string[];
  const preload = join(import.meta.dirname, "registration-preload.ts");
  const script = rest.pop()?.replace("/app/", `${join(ROOT, "dist")}/`) ?? "";
  return [process.execPath, ...rest, `--import=${preload}`, script];
}

/** What kubelet mounts into the operator's pod. */
async function accountFolder({ client, ca, folder }: ApiServer): Promise<string> {
  const account = join(folder, "account");
  await mkdir(account, { recursive: true });
  await writeFile(join(account, "token"), await requestToken(client, ACCOUNT, {}), { mode: 0o600 });
  await writeFile(join(account, "ca.crt"), ca);
  await writeFile(join(account, "namespace"), OPERATOR_NAMESPACE);
  return account;
}

type TokenRequest = KubeObject & { readonly status: { readonly token: string } };

async function requestToken(client: KubeClient, account: string, spec: object): Promise<string> {
  const request = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: { name: account, namespace: OPERATOR_NAMESPACE },
    spec: { audiences: [], expirationSeconds: TOKEN_SECONDS, ...spec },
  };
  const options = { subresource: "token" };
  const answer = await client.create<KubeObject>(SERVICE_ACCOUNTS, request, options);
  return (answer as TokenRequest).status.token;
}

async function untilReady(url: string, check: () => void): Promise<void> {
  const deadline = performance.now() + START_MS;
  while (performance.now() < deadline) {
    check();
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    await setTimeout(POLL_MS);
  }
  throw new Error(`the operator is not ready after ${START_MS} ms`);
}

/** The leader publishes it shortly after the operator is ready. */
async function publishedBundle(client: KubeClient): Promise<string> {
  const key = { namespace: OPERATOR_NAMESPACE, name: "signet-bundle" };
  for (const deadline = performance.now() + START_MS; performance.now() < deadline;) {
    const found = await client.get<ConfigMap>(CONFIG_MAPS, key).catch(() => undefined);
    const pem = found?.data?.["bundle.pem"];
    if (pem !== undefined) return pem;
    await setTimeout(POLL_MS);
  }
  throw new Error("the operator publishes no bundle");
}

async function usageOf(url: string, pid: number | undefined): Promise<Usage> {
  const text = await (await fetch(url)).text();
  const value = (name: string): number =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "m").exec(text)?.[1]);
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return {
    cpuSeconds: value("process_cpu_seconds_total"),
    rss: value("process_resident_memory_bytes"),
    peakRss: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024,
  };
}
