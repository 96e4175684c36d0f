import { afterAll, beforeAll, expect, it } from "vitest";
import { noLeakedVolumes, volumesOn } from "../mounts.ts";
import {
  clusterSpiffeId,
  isReady,
  MOUNT_PATH,
  NAMESPACE,
  openWorld,
  signetPods,
} from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-scale";
const labels = { app: "scale" };
let world: World;
/** The node that is filled, and how many pods it still takes. */
let node: string;
let replicas: number;

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  node = world.cluster.workers[1] ?? "";
  const { status } = await world.get("node", node);
  const there = await world.list("pods", ["-A", `--field-selector=spec.nodeName=${node}`]);
  replicas = Number(status.allocatable.pods) - there.length;
  await world.apply(
    clusterSpiffeId(NS, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/pod/{{ .PodMeta.Name }}",
      podSelector: { matchLabels: labels },
    }),
  );
});

afterAll(async () => {
  await world.remove("clusterspiffeid", NS);
  await world.remove("namespace", NS, undefined, ["--wait=false"]);
});

/** Ends at once, and so is never Ready, where the pair does not verify when the container starts. */
const script = [
  `cd ${MOUNT_PATH}`,
  "openssl verify -CAfile ca.crt tls.crt",
  'test "$(openssl x509 -in tls.crt -noout -pubkey)" = "$(openssl pkey -in tls.key -pubout)"',
  "openssl x509 -in tls.crt -noout -ext subjectAltName",
  "exec sleep 3600",
].join(" && ");

function deployment(): Json {
  const requests = { cpu: "1m", memory: "4Mi" };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "scale", namespace: NS },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          nodeSelector: { "kubernetes.io/hostname": node },
          containers: [
            {
              name: "main",
              image: world.images.workload,
              command: ["sh", "-c", script],
              resources: { requests },
            },
          ],
        },
      },
    },
  };
}

const pods = (): Promise<Json[]> => world.list("pods", ["-n", NS, "-l", "app=scale"]);

it("gives as many pods as a node takes, all at once, their own SVIDs, and leaves no mount when they go", async () => {
  const start = Date.now();
  await world.apply(deployment());
  const ready = await world.until(
    `${replicas} pods to be Ready`,
    async () => {
      const found = (await pods()).filter(isReady);
      return found.length === replicas ? found : undefined;
    },
    200_000,
  );
  console.log(`e2e: ${replicas} pods Ready after ${((Date.now() - start) / 1000).toFixed(1)} s`);
  const restarts = ready.map((pod) => pod.status.containerStatuses[0].restartCount);
  expect(restarts.every((count) => count === 0)).toBe(true);
  expect(replicas).toBeGreaterThan(90);

  // kubelet may still have the last lines of a pod that just began.
  const logs = await world.until("the logs of all pods", async () => {
    const text = await world.cluster.kubectl(
      `logs -n ${NS} -l app=scale --tail=-1 --prefix --max-log-requests=${replicas}`.split(" "),
      { timeoutMs: 120_000 },
    );
    return text.match(/URI:/g)?.length === replicas ? text : undefined;
  });
  const seen = [...logs.matchAll(/^\[pod\/([^/]+)\/main\] .*URI:(\S+)$/gm)];
  const expected = ready.map(({ metadata: { name } }) => [
    name,
    `spiffe://example.org/pod/${name}`,
  ]);
  expect(new Map(seen.map(([, pod, uri]) => [pod, uri]))).toEqual(new Map(expected as []));
  expect(logs.match(/tls\.crt: OK/g)).toHaveLength(replicas);

  const uids = ready.map((pod) => pod.metadata.uid);
  expect((await volumesOn(world, node)).mounted).toEqual(expect.arrayContaining(uids));
  await reportAgent();
  const { stats } = (
    await world.until("the counters", async () => {
      const object = await world.get("clusterspiffeid", NS);
      return object.status?.stats?.entriesToSet === replicas ? object : undefined;
    })
  ).status;
  expect(stats.podEntryRenderFailures).toBe(0);

  const removal = Date.now();
  await world.remove("deployment", "scale", NS);
  await world.until(
    "all pods to be gone",
    async () => ((await pods()).length === 0 ? true : undefined),
    120_000,
  );
  console.log(`e2e: all gone after ${((Date.now() - removal) / 1000).toFixed(1)} s`);
  await noLeakedVolumes(world);
});

/** What the node's agent takes with all these volumes and sockets. */
async function reportAgent(): Promise<void> {
  const agent = (await signetPods(world, "agent")).find(({ spec }) => spec.nodeName === node);
  const memory = ["cat", "/proc/1/status"];
  const { stdout } = await world.exec(NAMESPACE, agent.metadata.name, ...memory);
  const [, kib = "0"] = /^VmRSS:\s+(\d+)/m.exec(stdout) ?? [];
  console.log(`e2e: the agent of ${replicas} pods takes ${(Number(kib) / 1024).toFixed(0)} MiB`);
  expect(agent.status.containerStatuses[0].restartCount).toBe(0);
}
