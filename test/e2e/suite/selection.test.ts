import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, openWorld, workloadPod } from "../world.ts";
import type { Json, PodOptions, Svid, World } from "../world.ts";

const NS = "e2e-selection";
/** Where the events are looked at: few ClusterSPIFFEIDs are about its pods. */
const LONELY = "e2e-selection-lonely";
/** Tells when it runs, in milliseconds since the epoch, and stays. */
const TELL_START = ["-e", "console.log(Date.now()); setInterval(() => {}, 1 << 30)"];
const made = new Set<string>();
let world: World;
/** The SVID of a pod whose ClusterSPIFFEID was deleted right afterwards. */
let orphaned: Svid;

beforeAll(async () => {
  world = await openWorld();
  await Promise.all([world.namespace(NS), world.namespace(LONELY)]);
  await applyIds(
    id("leaving", { ttl: "30s" }),
    id("elsewhere", { namespaceSelector: named("elsewhere") }),
    id("gold", {
      namespaceSelector: named(LONELY),
      podSelector: { matchLabels: { app: "nearly", tier: "gold" } },
    }),
    id("foreign", { namespaceSelector: named(LONELY), className: "another" }),
    id("changing"),
    id("before"),
    id("after"),
    id("special"),
    id("fallback", {
      podSelector: {
        matchExpressions: [{ key: "app", operator: "In", values: ["special", "plain"] }],
      },
      fallback: true,
    }),
  );
  await world.apply(
    ...["leaving", "changing", "special", "plain"].map((name) => pod(name)),
    ...["nearly", "foreign"].map((name) => pod(name, { namespace: LONELY })),
    pod("relabelled", { labels: { app: "before" } }),
    pod("optional", { annotations: { "signet.dev/optional": "true" } }),
  );
  await world.ready(NS, "leaving");
  orphaned = await world.svid(NS, "leaving");
  await world.remove("clusterspiffeid", resource("leaving"));
});

afterAll(() => tidy(world, { namespaces: [NS, LONELY], clusterSpiffeIds: [...made] }));

describe("a pod that waits for an identity", () => {
  it("starts within two seconds of the ClusterSPIFFEID that selects it", async () => {
    const delay = await bestOfTwo(2000, async (attempt) => {
      const name = `late-${attempt}`;
      await world.apply(pod(name));
      await noIdentityEvent(name);
      await applyIds(id(name));
      const applied = Date.now();
      await world.ready(NS, name);
      const started = await world.cluster.kubectl(["logs", "-n", NS, name]);
      const { stdout } = await inVolume(name, "stat -L -c %.3Y tls.crt");
      const written = Number(stdout) * 1000 - applied;
      console.log(
        `ClusterSPIFFEID → SVID ${written.toFixed(0)} ms, → process ${Number(started) - applied} ms`,
      );
      return Number(started) - applied;
    });
    expect(delay).toBeLessThan(2000);
  });

  it("is gone within five seconds when it is deleted", async () => {
    const duration = await bestOfTwo(5000, async (attempt) => {
      const name = `deleted-${attempt}`;
      await world.apply(pod(name));
      await noIdentityEvent(name);
      const asked = Date.now();
      await world.remove("pod", name, NS);
      console.log(`waiting pod deleted in ${Date.now() - asked} ms`);
      return Date.now() - asked;
    });
    expect(duration).toBeLessThan(5000);
  });
});

describe.concurrent("an identity", () => {
  it("that does not come is explained by an event on the pod", async () => {
    const event = await noIdentityEvent("nearly", LONELY);
    expect(event).toMatchObject({ type: "Warning", source: { component: "signet" } });
    expect(event.message).toContain(
      `ClusterSPIFFEID ${resource("gold")}: podSelector does not match the pod's labels: `,
    );
    expect(event.message).toMatch(/it requires tier=gold, the label is missing/);
    // What came closest is told first.
    expect(event.message).toMatch(/^waiting for an identity: ClusterSPIFFEID e2e-selection-gold: /);
    expect(event.message).toMatch(/namespaceSelector does not match the labels of namespace/);
    const { status } = await world.get("pod", "nearly", LONELY);
    expect(status.phase).toBe("Pending");
  });

  it("of another operator's class is left to that operator", async () => {
    const event = await noIdentityEvent("foreign", LONELY);
    expect(event.message).toContain(`ClusterSPIFFEID ${resource("foreign")}: className "another"`);
    expect((await world.get("clusterspiffeid", resource("foreign"))).status).toBeUndefined();
    await applyIds(id("foreign", { namespaceSelector: named(LONELY), className: "" }));
    await world.ready(LONELY, "foreign");
    expect((await world.svid(LONELY, "foreign")).uris).toEqual([uri("foreign")]);
  });

  it("that is a fallback goes to the pods that no other ClusterSPIFFEID selects", async () => {
    await Promise.all(["special", "plain"].map((name) => world.ready(NS, name)));
    expect((await world.svid(NS, "special")).uris).toEqual([uri("special")]);
    expect((await world.svid(NS, "plain")).uris).toEqual([uri("fallback")]);
    await world.until("status of the fallback", async () => {
      const { status } = await world.get("clusterspiffeid", resource("fallback"));
      const { podsSelected, entriesToSet } = status?.stats ?? {};
      return (podsSelected === 2 && entriesToSet === 1) || undefined;
    });
  });

  it("changes in the running pod when its template changes", async () => {
    await world.ready(NS, "changing");
    expect((await world.svid(NS, "changing")).uris).toEqual([uri("changing")]);
    await applyIds(
      id("changing", {
        spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/changed/{{ .PodMeta.Name }}",
      }),
    );
    await becomes("changing", "spiffe://example.org/changed/changing");
  });

  it("changes in the running pod when its labels change", async () => {
    await world.ready(NS, "relabelled");
    expect((await world.svid(NS, "relabelled")).uris).toEqual([uri("before")]);
    await world.cluster.kubectl(["label", "-n", NS, "pod/relabelled", "--overwrite", "app=after"]);
    await becomes("relabelled", uri("after"));
  });

  it("that is optional does not hold up the start, and comes later", async () => {
    await world.ready(NS, "optional");
    const sockets = "api.sock\nsocket\nspire-agent.sock\n";
    expect((await inVolume("optional", "ls -A")).stdout).toBe(sockets);
    await applyIds(id("optional"));
    await becomes("optional", uri("optional"));
  });

  it("is not renewed once its ClusterSPIFFEID is gone, and its files stay", async () => {
    expect(orphaned.uris).toEqual([uri("leaving")]);
    const untilExpiry = orphaned.notAfter - Date.now();
    expect(untilExpiry).toBeLessThanOrEqual(30_000);
    await new Promise((resolve) => setTimeout(resolve, untilExpiry + 1000));
    const now = await world.svid(NS, "leaving");
    expect(now).toEqual(orphaned);
    expect((await inVolume("leaving", "openssl x509 -checkend 0 -noout -in tls.crt")).code).toBe(1);
    const { status } = await world.get("pod", "leaving", NS);
    expect(status.containerStatuses[0]).toMatchObject({ ready: true, restartCount: 0 });
    await applyIds(id("leaving"));
    await world.until("a new SVID", async () => {
      const svid = await world.svid(NS, "leaving");
      return svid.notAfter > Date.now() || undefined;
    });
  });
});

function resource(name: string): string {
  return `${NS}-${name}`;
}

/** A ClusterSPIFFEID for the pods with the label app=name, whose ID ends in the name of the object. */
function id(name: string, spec: Json = {}): Json {
  return clusterSpiffeId(resource(name), NS, {
    spiffeIDTemplate: `spiffe://{{ .TrustDomain }}/by/${name}`,
    podSelector: { matchLabels: { app: name } },
    ...spec,
  });
}

function named(namespace: string): Json {
  return { matchLabels: { "kubernetes.io/metadata.name": namespace } };
}

function uri(name: string): string {
  return `spiffe://example.org/by/${name}`;
}

async function applyIds(...ids: Json[]): Promise<void> {
  for (const { metadata } of ids) made.add(metadata.name);
  await world.apply(...ids);
}

function pod(name: string, options: Partial<PodOptions> = {}): Json {
  const containers = [{ name: "main", image: world.images.workload, args: TELL_START }];
  const labels = { app: name };
  return workloadPod(world, { name, namespace: NS, labels, spec: { containers }, ...options });
}

/** The Warning event that says why the pod waits, as soon as there is one. */
function noIdentityEvent(name: string, namespace = NS): Promise<Json> {
  const fields = `involvedObject.kind=Pod,involvedObject.name=${name},reason=NoIdentity`;
  return world.until(`event NoIdentity of ${name}`, async () => {
    const [event] = await world.list("events", ["-n", namespace, `--field-selector=${fields}`]);
    return event;
  });
}

/** Waits until the running pod shows the SPIFFE ID, and checks that it was not restarted for that. */
async function becomes(name: string, spiffeId: string): Promise<void> {
  await world.until(`${name} to be ${spiffeId}`, async () => {
    const { uris } = await world.svid(NS, name);
    return (uris.length === 1 && uris[0] === spiffeId) || undefined;
  });
  const { status } = await world.get("pod", name, NS);
  expect(status.containerStatuses[0].restartCount).toBe(0);
}

function inVolume(name: string, script: string) {
  return world.exec(NS, name, "sh", "-c", `cd $SPIFFE_CREDENTIAL_FOLDER && ${script}`);
}

/** Measures once more where the first time was over the limit: other work on the machine is not our subject. */
async function bestOfTwo(
  limitMs: number,
  measure: (attempt: number) => Promise<number>,
): Promise<number> {
  const first = await measure(1);
  return first < limitMs ? first : Math.min(first, await measure(2));
}
