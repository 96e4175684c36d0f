import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { noLeakedVolumes, volumesOn } from "../mounts.ts";
import { hear, rotatedSince, witnessPod } from "../witness.ts";
import {
  clusterSpiffeId,
  NAMESPACE,
  expectedId,
  isReady,
  openWorld,
  signetPods,
  workloadPod,
} from "../world.ts";
import type { World } from "../world.ts";

const NS = "e2e-faults";
/** Where a witness with SVIDs of 30 s runs through all faults. */
let nodes: string[];
let world: World;

beforeAll(async () => {
  world = await openWorld();
  nodes = [...world.cluster.workers];
  await world.namespace(NS);
  await world.apply(
    clusterSpiffeId(NS, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
      podSelector: { matchExpressions: [{ key: "late", operator: "DoesNotExist" }] },
      ttl: "30s",
    }),
    ...nodes.map((node, n) => witnessPod(world, { name: witness(n), namespace: NS, node })),
  );
  await Promise.all(nodes.map((_, n) => world.ready(NS, witness(n))));
});

afterAll(async () => {
  await world.remove("clusterspiffeid", NS);
  await world.remove("clusterspiffeid", `${NS}-late`);
  await world.remove("namespace", NS, undefined, ["--wait=false"]);
});

function witness(n: number): string {
  return `witness-${n}`;
}

/**
 * Waits until every witness has an SVID that came after the fault; resolves with every moment, since the witnesses
 * started, at which one had no valid pair.
 */
async function violationsUntilRotation(since: number): Promise<string[]> {
  const pods = nodes.map((_, n) => witness(n));
  const found = pods.map(async (pod) => {
    const { violations } = await rotatedSince(world, { namespace: NS, pod }, since);
    const { status } = await world.get("pod", pod, NS);
    const { restartCount } = status.containerStatuses[0];
    return restartCount === 0 ? violations : [...violations, `${pod} restarted`];
  });
  return (await Promise.all(found)).flat();
}

/** Starts a pod as soon as the API server takes it, and checks its SVID. */
async function newPodStarts(name: string, node: string | undefined, since: number): Promise<void> {
  const place = node === undefined ? {} : { node };
  const pod = workloadPod(world, { name, namespace: NS, ...place });
  await world.until(`pod ${name} to be admitted`, () => world.apply(pod), 90_000);
  await world.ready(NS, name, 150_000);
  report(`pod ${name} Ready`, since);
  expect((await world.svid(NS, name)).uris).toEqual([`spiffe://example.org/${name}`]);
}

function report(what: string, since: number): void {
  console.log(`e2e: ${what} ${((Date.now() - since) / 1000).toFixed(1)} s after the fault`);
}

const killed = (pod: string): Promise<void> =>
  world.cluster.killContainer({ namespace: NAMESPACE, pod });

async function agentOn(node: string): Promise<string> {
  const agents = await signetPods(world, "agent");
  return agents.find((agent) => agent.spec.nodeName === node)?.metadata.name ?? "";
}

const holder = async (): Promise<string> =>
  (await world.get("lease", "signet-operator", NAMESPACE)).spec.holderIdentity;

/** Waits until the counters say what is so, as of the newest pods. */
async function statusIsRight(): Promise<void> {
  await world.until("the status to be right", async () => {
    const [pods, object] = await Promise.all([
      world.list("pods", ["-n", NS, "-l", "!late"]),
      world.get("clusterspiffeid", NS),
    ]);
    const { podsSelected, entriesToSet } = object.status.stats;
    const right = podsSelected === pods.length && entriesToSet === pods.length;
    return right ? true : undefined;
  });
}

describe("kill -9", () => {
  it("of both operators at once costs no running pod its SVID", async () => {
    const since = Date.now();
    const operators = await signetPods(world, "operator");
    expect(operators).toHaveLength(2);
    await Promise.all(operators.map((pod) => killed(pod.metadata.name)));
    await newPodStarts("after-operators", undefined, since);
    expect(await violationsUntilRotation(since)).toEqual([]);
  });

  it("of the leader hands its work to another, and the statuses are right again", async () => {
    const podOf = (identity: string): string => identity.slice(0, identity.lastIndexOf("_"));
    const before = await world.until("a leader that runs", async () => {
      const identity = await holder();
      const pod = identity === "" ? {} : await world.get("pod", podOf(identity), NAMESPACE);
      return isReady(pod) ? identity : undefined;
    });
    const since = Date.now();
    await killed(podOf(before));
    await newPodStarts("after-leader", undefined, since);
    await world.until(
      "another leader",
      async () => {
        const now = await holder();
        return now !== "" && now !== before ? now : undefined;
      },
      120_000,
    );
    report("another leader", since);
    await statusIsRight();
    report("status right", since);
    expect(await violationsUntilRotation(since)).toEqual([]);
  });

  it("of an agent costs no running pod its SVID, and a pod deleted meanwhile ends", async () => {
    const [node = ""] = nodes;
    await world.apply(workloadPod(world, { name: "victim", namespace: NS, node }));
    await world.ready(NS, "victim");
    const since = Date.now();
    await killed(await agentOn(node));
    await world.remove("pod", "victim", NS);
    report("deleted pod gone", since);
    await newPodStarts("after-agent", node, since);
    expect(await violationsUntilRotation(since)).toEqual([]);
  });

  it("of an agent while pods start only delays them", async () => {
    const [, node = ""] = nodes;
    const names = Array.from({ length: 6 }, (_, n) => `starting-${n}`);
    const agent = await agentOn(node);
    const since = Date.now();
    await world.apply(...names.map((name) => workloadPod(world, { name, namespace: NS, node })));
    await killed(agent);
    for (const name of names) await world.ready(NS, name, 150_000);
    report("six pods Ready", since);
    for (const name of names) {
      expect((await world.svid(NS, name)).uris).toEqual([`spiffe://example.org/${name}`]);
    }
    expect(await violationsUntilRotation(since)).toEqual([]);
  });

  it("of an agent while a pod waits for its identity lets it start when there is one", async () => {
    const node = world.cluster.controlPlane;
    const labels = { late: "yes" };
    await world.apply(workloadPod(world, { name: "late", namespace: NS, node, labels }));
    await world.until("the pod to wait", async () => {
      const about = "involvedObject.name=late,reason=NoIdentity";
      const events = await world.list("events", ["-n", NS, "--field-selector", about]);
      return events.length > 0 ? events : undefined;
    });
    const since = Date.now();
    const agent = await agentOn(node);
    await killed(agent);
    await world.ready(NAMESPACE, agent);
    const podSelector = { matchLabels: labels };
    await world.apply(clusterSpiffeId(`${NS}-late`, NS, { podSelector }));
    await world.ready(NS, "late", 150_000);
    report("waiting pod Ready", since);
    expect((await world.svid(NS, "late")).uris).toEqual([expectedId(NS)]);
  });
});

describe("a kubelet", () => {
  it("that is killed or restarted costs no running pod its SVID", async () => {
    const [killedNode = "", restartedNode = ""] = nodes;
    const since = Date.now();
    await Promise.all([
      world.cluster.kill(killedNode, "kubelet"),
      world.cluster.restart(restartedNode, "kubelet"),
    ]);
    await Promise.all([
      newPodStarts("after-kill", killedNode, since),
      newPodStarts("after-restart", restartedNode, since),
    ]);
    expect(await violationsUntilRotation(since)).toEqual([]);
  });
});

describe("a node", () => {
  it("that restarts gives its pods volumes again, though every mount is gone", async () => {
    const [, node = ""] = nodes;
    const before = await world.get("pod", witness(1), NS);
    expect((await volumesOn(world, node)).mounted).toContain(before.metadata.uid);
    const since = Date.now();
    await world.cluster.reboot(node);
    report("node up", since);
    await world.until(
      "the witness to run again",
      async () => {
        const { status } = await world.get("pod", witness(1), NS);
        const [container] = status.containerStatuses;
        return container.restartCount > 0 && container.ready ? true : undefined;
      },
      150_000,
    );
    report("pod of before Ready", since);
    await newPodStarts("after-reboot", node, since);
    const { metadata } = await world.get("pod", witness(1), NS);
    expect(metadata.uid).toBe(before.metadata.uid);
    const { violations } = await rotatedSince(world, { namespace: NS, pod: witness(1) }, since);
    expect(violations).toEqual([]);
    const other = await rotatedSince(world, { namespace: NS, pod: witness(0) }, since);
    expect(other.violations).toEqual([]);
  });
});

describe("after all faults", () => {
  it("every pod ends when it is deleted, and no mount is left", async () => {
    for (const [n, node] of nodes.entries()) {
      const { metadata } = await world.get("pod", witness(n), NS);
      expect((await volumesOn(world, node)).mounted).toContain(metadata.uid);
      const { rotations } = await hear(world, NS, witness(n));
      const left = rotations.slice(1).map(({ at }, n) => (rotations[n]?.notAfter ?? 0) - at);
      console.log(
        `e2e: ${left.length} rotations, never later than ${Math.min(...left)} ms before expiry`,
      );
    }
    await world.cluster.kubectl(["delete", "pods", "--all", "-n", NS], { timeoutMs: 120_000 });
    await noLeakedVolumes(world);
  });
});
