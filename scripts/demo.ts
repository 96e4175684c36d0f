/**
 * The demo: a cluster, Signet, two services that talk mTLS, a rotation under a live connection, and a pod that
 * nothing selects. Usage: npm run demo [-- down]   (down takes the demo's cluster away again)
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { styleText } from "node:util";
import { downCluster, upCluster } from "../test/e2e/cluster/cluster.ts";
import type { Cluster } from "../test/e2e/cluster/cluster.ts";
import { waitFor } from "../test/e2e/cluster/exec.ts";
import { loadImages } from "../test/e2e/images.ts";
import { installSignet, TRUST_DOMAIN } from "../test/e2e/install.ts";

const NAME = "signet-demo";
const manifests = join(import.meta.dirname, "../demo");
const FILES = "/var/run/secrets/spiffe.io";
const startedAt = Date.now();

if (process.argv[2] === "down") await downCluster({ name: NAME, log: say });
else await demo();

async function demo(): Promise<void> {
  title("A cluster: one control plane, two workers");
  const cluster = await upCluster({ name: NAME, log: say });
  title("Signet: one image, one chart");
  const images = await loadImages(cluster, say);
  await installSignet(cluster, images);
  await show(cluster, ["get", "pods", "-n", "signet-system", "-o", "wide"]);
  title("Two namespaces, their identities, their workloads");
  for (const file of (await readdir(manifests)).toSorted()) {
    const text = await readFile(join(manifests, file), "utf8");
    const input = text.replaceAll("image: signet-workload", `image: ${images.workload}`);
    say((await cluster.kubectl(["apply", "-f", "-"], { input })).trim());
  }
  for (const [namespace, name] of [
    ["tools", "search"],
    ["agents", "researcher"],
    ["agents", "intruder"],
  ] as const) {
    const rollout = ["rollout", "status", `deployment/${name}`, "-n", namespace, "--timeout=120s"];
    await cluster.kubectl(rollout, { timeoutMs: 150_000 });
  }
  await show(cluster, ["get", "clusterspiffeids"]);
  await showSvid(cluster);
  await showCalls(cluster);
  await showRotation(cluster);
  await showNobody(cluster);
  farewell(cluster);
}

async function showSvid(cluster: Cluster): Promise<void> {
  title("The agent's SVID, read with openssl inside its pod");
  await show(cluster, exec("researcher", "ls", FILES));
  const x509 = ["openssl", "x509", "-noout", "-subject", "-dates", "-ext", "subjectAltName"];
  await show(cluster, exec("researcher", ...x509, "-in", `${FILES}/tls.crt`));
  const verify = ["openssl", "verify", "-CAfile", `${FILES}/ca.crt`, `${FILES}/tls.crt`];
  await show(cluster, exec("researcher", ...verify));
}

async function showCalls(cluster: Cluster): Promise<void> {
  title("mTLS: the tool lets in one SPIFFE ID, and turns another away");
  // A pod that is Ready may not be behind its Service yet.
  await waitFor("the tool's Service", 60_000, async () => {
    const { code } = await cluster.tryKubectl(exec("researcher", "node", ...call()));
    return code === 0 ? true : undefined;
  });
  await show(cluster, exec("researcher", "node", ...call()));
  const refused = await cluster.tryKubectl(exec("intruder", "node", ...call()));
  say(`$ kubectl ${exec("intruder", "node", ...call()).join(" ")}`);
  say(refused.stdout.trim());
  if (!refused.stdout.includes("refused")) throw new Error("the intruder was not refused");
}

async function showRotation(cluster: Cluster): Promise<void> {
  title("A rotation under a live connection (SVIDs of 30 s, renewed at half of it)");
  const output = await show(cluster, exec("researcher", "node", ...call("36")), 90_000);
  const serials = new Set([...output.matchAll(/own SVID (\w+)/g)].map((match) => match[1]));
  if (serials.size < 2) throw new Error("no rotation was seen");
  say(`one connection, ${serials.size} SVIDs of the agent`);
}

async function showNobody(cluster: Cluster): Promise<void> {
  title("A pod that nothing selects, and the event that says why");
  const events = ["get", "events", "-n", "agents", "--field-selector", "reason=NoIdentity"];
  await waitFor("the pod's event", 60_000, async () => {
    const found = await cluster.kubectl([...events, "-o", "name"]);
    return found.trim() === "" ? undefined : found;
  });
  await show(cluster, ["get", "pod", "nobody", "-n", "agents"]);
  await show(cluster, [...events, "-o", "custom-columns=REASON:.reason,MESSAGE:.message"]);
}

function farewell(cluster: Cluster): void {
  title(`Done in ${Math.round((Date.now() - startedAt) / 1000)} s`);
  console.log(`Go on:      export KUBECONFIG=${cluster.kubeconfig}
            ${cluster.kubectlPath} get clusterspiffeids,pods -A
Try:        kubectl label pod nobody -n agents role=agent    # it starts within a second
Take down:  npm run demo -- down`);
}

function exec(deployment: string, ...command: readonly string[]): string[] {
  return ["exec", "-n", "agents", `deployment/${deployment}`, "--", ...command];
}

function call(...more: readonly string[]): string[] {
  return [
    "/workload/call.mjs",
    "search.tools.svc",
    `spiffe://${TRUST_DOMAIN}/tool/search`,
    ...more,
  ];
}

async function show(
  cluster: Cluster,
  args: readonly string[],
  timeoutMs = 60_000,
): Promise<string> {
  say(`$ kubectl ${args.join(" ")}`);
  const output = await cluster.kubectl(args, { timeoutMs });
  console.log(output.trimEnd());
  return output;
}

function title(text: string): void {
  console.log(`\n${styleText("bold", `== ${text}`)}`);
}

function say(line: string): void {
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0).padStart(4);
  console.log(`${styleText("dim", `${seconds} s`)}  ${line}`);
}
