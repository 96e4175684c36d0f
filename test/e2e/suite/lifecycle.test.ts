import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { installSignet, uninstallSignet } from "../install.ts";
import { openIssuer } from "../issuer-access.ts";
import { leftovers } from "../leftovers.ts";
import { noLeakedVolumes, volumesOn } from "../mounts.ts";
import { entries } from "../plugin.ts";
import { spireSchema } from "../spire-schema.ts";
import { hear, rotatedSince, witnessPod } from "../witness.ts";
import {
  clusterSpiffeId,
  expectedId,
  MOUNT_PATH,
  NAMESPACE,
  openWorld,
  signetPods,
  workloadPod,
} from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-lifecycle";
const LONG = { ttl: "long" };
const CRD = "clusterspiffeids.spire.spiffe.io";
/** From the first upgrade on. */
const PARENTS = {
  parentIDTemplate: "spiffe://{{ .TrustDomain }}/spire/agent/x509pop/{{ .NodeMeta.Name }}",
};
const KEPT = [
  "apiservice/v1alpha1.spire.spiffe.io",
  "customresourcedefinition/clusterfederatedtrustdomains.spire.spiffe.io",
  "customresourcedefinition/clusterspiffeids.spire.spiffe.io",
  "customresourcedefinition/clusterstaticentries.spire.spiffe.io",
  "secret/signet-ca",
];

let world: World;

/** The steps of this file follow on one another: it takes Signet away, and brings it back. */
beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
});

afterAll(async () => {
  await installSignet(world.cluster, world.images);
  await world.remove("clusterspiffeid", NS);
  await world.remove("clusterspiffeid", `${NS}-long`);
  await world.remove("namespace", NS, undefined, ["--wait=false"]);
});

/** For pods that are to outlive Signet's absence. */
function longLived(spec: Json = {}): Json {
  return clusterSpiffeId(`${NS}-long`, NS, {
    podSelector: { matchLabels: LONG },
    ttl: "1h",
    ...spec,
  });
}

/** The authorities of one kind in the CA Secret's journal. */
async function authorities(kind = "x509"): Promise<Json[]> {
  const secret = await world.get("secret", "signet-ca", NAMESPACE);
  const journal = JSON.parse(Buffer.from(secret.data["journal.json"], "base64").toString());
  return journal.authorities.filter((authority: Json) => authority.kind === kind);
}

async function published(): Promise<string> {
  const { data } = await world.get("configmap", "signet-bundle", NAMESPACE);
  return new X509Certificate(data["bundle.pem"]).fingerprint256;
}

/** Whether the SVID that the pod has now verifies against the published bundle. */
async function verifies(pod: string): Promise<boolean> {
  const { data } = await world.get("configmap", "signet-bundle", NAMESPACE);
  const leaf = await world.exec(NS, pod, "cat", `${MOUNT_PATH}/tls.crt`);
  return new X509Certificate(leaf.stdout).verify(new X509Certificate(data["bundle.pem"]).publicKey);
}

const ownPods = async (): Promise<Json[]> =>
  (await Promise.all([signetPods(world, "operator"), signetPods(world, "agent")])).flat();

const uids = (pods: readonly Json[]): string[] => pods.map(({ metadata }) => metadata.uid);

it("uninstalling leaves nothing behind but CRDs and the CA Secret", async () => {
  expect((await leftovers(world)).length).toBeGreaterThan(KEPT.length + 10);
  await uninstallSignet(world.cluster);
  // What belonged to the Deployment is collected after it.
  await expect.poll(() => leftovers(world), { timeout: 60_000 }).toEqual(KEPT);
  await expect
    .poll(async () => (await world.list("csinodes")).flatMap(({ spec }) => spec.drivers ?? []))
    .toEqual([]);
});

it("two replicas that are installed at once make one CA, and both serve it", async () => {
  await world.remove("secret", "signet-ca", NAMESPACE);
  await spireSchema(world, CRD);
  await installSignet(world.cluster, world.images, { "crds.install": "false" });
  const [authority, ...others] = await authorities();
  expect(others).toEqual([]);
  expect(authority.status).toBe("active");
  expect((await authorities("jwt")).map(({ status }) => status)).toEqual(["active"]);
  const root = new X509Certificate(authority.certificate);
  expect(await published()).toBe(root.fingerprint256);
  const operators = await signetPods(world, "operator");
  expect(operators).toHaveLength(2);
  for (const { metadata } of operators) {
    const issuer = await openIssuer(world, metadata.name);
    const socket = await issuer.dial();
    expect(socket.getPeerX509Certificate()?.verify(root.publicKey)).toBe(true);
    socket.destroy();
    await issuer.close();
  }
});

it("with SPIRE's own CRDs pods get identities, and statuses their seven counters", async () => {
  const [a, b] = world.cluster.workers as [string, string];
  await world.apply(
    clusterSpiffeId(NS, NS, { podSelector: { matchLabels: { ttl: "short" } }, ttl: "30s" }),
    witnessPod(world, { name: "witness-a", namespace: NS, node: a, labels: { ttl: "short" } }),
    witnessPod(world, { name: "witness-b", namespace: NS, node: b, labels: { ttl: "short" } }),
  );
  await world.ready(NS, "witness-a");
  await world.ready(NS, "witness-b");
  const status = await world.until("the counters", async () => {
    const object = await world.get("clusterspiffeid", NS);
    return object.status?.stats?.entriesToSet === 2 ? object.status : undefined;
  });
  expect(Object.keys(status)).toEqual(["stats"]);
  expect(Object.keys(status.stats)).toHaveLength(7);
});

it("an upgrade rolls operator and agents and disturbs no pod", async () => {
  const old = new Set(uids(await ownPods()));
  const start = Date.now();
  await installSignet(world.cluster, world.images, { ...PARENTS, logLevel: "debug" });
  console.log(`e2e: upgraded in ${((Date.now() - start) / 1000).toFixed(1)} s`);
  await expect
    .poll(async () => uids(await ownPods()).filter((uid) => old.has(uid)), { timeout: 120_000 })
    .toEqual([]);
  expect(await ownPods()).toHaveLength(old.size);
  for (const pod of ["witness-a", "witness-b"]) {
    const { rotations, violations } = await rotatedSince(world, { namespace: NS, pod }, Date.now());
    expect(violations).toEqual([]);
    expect(new Set(rotations.map(({ spiffeId }) => spiffeId)).size).toBe(1);
    const { status } = await world.get("pod", pod, NS);
    expect(status.containerStatuses[0].restartCount).toBe(0);
  }
});

it("another template for parent IDs is in all entries after the upgrade", async () => {
  const parents = (await entries(world, ["-n", NS])).map(({ pod, parentId }) => [pod, parentId]);
  const [a, b] = world.cluster.workers;
  expect(parents).toEqual([
    ["witness-a", `spiffe://example.org/spire/agent/x509pop/${a}`],
    ["witness-b", `spiffe://example.org/spire/agent/x509pop/${b}`],
  ]);
});

it("an upgrade with our CRDs brings the conditions back", async () => {
  const status = await world.until("a condition", async () => {
    const object = await world.get("clusterspiffeid", NS);
    return object.status?.conditions === undefined ? undefined : object.status;
  });
  expect(status.conditions[0]).toMatchObject({ type: "Ready", status: "True" });
  expect(status.stats).toHaveProperty("podsUnscheduled", 0);
});

it("while it is away running pods keep their SVIDs, and pods that end wait for it", async () => {
  const [node = ""] = world.cluster.workers;
  const labels = LONG;
  await world.apply(
    longLived(),
    witnessPod(world, { name: "keeper", namespace: NS, node, labels }),
    workloadPod(world, { name: "leaver", namespace: NS, node, labels }),
  );
  await world.ready(NS, "keeper");
  await world.ready(NS, "leaver");
  await world.remove("pod", "witness-a", NS);
  await world.remove("pod", "witness-b", NS);
  const [authority] = await authorities();
  await uninstallSignet(world.cluster);
  await expect.poll(() => leftovers(world), { timeout: 60_000 }).toEqual(KEPT);

  await world.remove("pod", "leaver", NS, ["--wait=false"]);
  await world.until("the container to end", async () => {
    const { status } = await world.get("pod", "leaver", NS);
    return status.containerStatuses[0].state.terminated ? true : undefined;
  });
  expect((await hear(world, NS, "keeper")).violations).toEqual([]);
  expect((await world.svid(NS, "keeper")).uris).toEqual([expectedId(NS)]);
  const { metadata } = await world.get("pod", "leaver", NS);
  expect((await volumesOn(world, node)).mounted).toContain(metadata.uid);

  await installSignet(world.cluster, world.images, PARENTS);
  expect((await authorities()).map(({ certificate }) => certificate)).toEqual([
    authority.certificate,
  ]);
});

it("installed again it has the same CA, lets the waiting pods go, and looks after the others", async () => {
  await world.until(
    "the deleted pod to be gone",
    async () => {
      const left = await world.list("pods", ["-n", NS, "--field-selector=metadata.name=leaver"]);
      return left.length === 0 ? true : undefined;
    },
    150_000,
  );
  const { rotations } = await hear(world, NS, "keeper");
  expect(rotations).toHaveLength(1);
  expect(await verifies("keeper")).toBe(true);
  const since = Date.now();
  // What changes in the ClusterSPIFFEID, which is still there, reaches the volume of before.
  await world.apply(longLived({ dnsNameTemplates: ["keeper.example"] }));
  const { violations } = await rotatedSince(world, { namespace: NS, pod: "keeper" }, since);
  expect(violations).toEqual([]);
  expect((await world.svid(NS, "keeper")).dnsNames).toEqual(["keeper.example"]);
  expect(await verifies("keeper")).toBe(true);
  await world.remove("pod", "keeper", NS);
  await noLeakedVolumes(world);
});
