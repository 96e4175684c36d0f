import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Issuer } from "../../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { fakeNodes, fakePod } from "../fake-pods.ts";
import { openIssuer, tokenOf } from "../issuer-access.ts";
import type { IssuerAccess } from "../issuer-access.ts";
import { entries } from "../plugin.ts";
import { tidy } from "../tidy.ts";
import { hear, witnessPod } from "../witness.ts";
import { clusterSpiffeId, NAMESPACE, openWorld, signetPods } from "../world.ts";
import type { Json, World } from "../world.ts";

/**
 * 200 ClusterSPIFFEIDs and 80 pods change while the leader is killed. Pod n is in group n % 10 before and in group n % 5
 * after; object n selects group n % 10. So every object first selects 8 pods, and then 16, or none.
 */
const NS = "e2e-failover";
const MANY = "e2e-failover-many";
/** What nobody touches. */
const STILL = "e2e-failover-still";
const NODE = "e2e-failover-node";
const OBJECTS = 200;
const GROUPS = 10;
const PODS = 80;
const STILL_PODS = 10;
const WATCHED = { "e2e-failover": "mass" };
const SELECTOR = "app.kubernetes.io/name=signet,app.kubernetes.io/component=operator";
let world: World;
let killed: string;
let survivor: Json;
let recorder: Recorder;
let poller: Poller;
/** When the change began, in milliseconds since the epoch. */
let since: number;

beforeAll(async () => {
  world = await openWorld();
  await Promise.all([world.namespace(NS), world.namespace(MANY, {}), world.namespace(STILL, {})]);
  await fakeNodes(world, NODE);
  const [node = ""] = world.cluster.workers;
  await world.apply(
    clusterSpiffeId(NS, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
    }),
    clusterSpiffeId(STILL, STILL, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
    }),
    witnessPod(world, { name: "witness", namespace: NS, node }),
    ...numbers(STILL_PODS).map((n) =>
      fakePod(NODE, { name: `still-${n}`, namespace: STILL, labels: {} }),
    ),
    ...numbers(PODS).map((n) => manyPod(n, n % GROUPS)),
  );
  await world.apply(...numbers(OBJECTS).map((n) => object(n, "before")));
  await world.ready(NS, "witness");
  await world.until("all statuses to be right", async () => {
    const [wrong] = await wrongStatuses(() => 8, "before");
    if (wrong === undefined) return true;
    throw new Error(wrong);
  });
  const holder = await leader();
  const operators = await signetPods(world, "operator");
  killed = holder.slice(0, holder.lastIndexOf("_"));
  survivor = operators.find(({ metadata }) => metadata.name !== killed);
});

afterAll(async () => {
  await recorder?.stop();
  await poller?.stop();
  const path = "/apis/spire.spiffe.io/v1alpha1/clusterspiffeids?labelSelector=e2e-failover%3Dmass";
  await world.cluster.kubectl(["delete", "--raw", path]);
  await tidy(world, { namespaces: [NS, MANY, STILL], clusterSpiffeIds: [NS, STILL] });
  await world.remove("node", NODE);
});

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

function manyPod(n: number, group: number): Json {
  return fakePod(NODE, { name: `many-${n}`, namespace: MANY, labels: { group: `g${group}` } });
}

function object(n: number, when: string): Json {
  const made = clusterSpiffeId(`${MANY}-${n}`, MANY, {
    spiffeIDTemplate: `spiffe://{{ .TrustDomain }}/${when}/${n}/{{ .PodMeta.Name }}`,
    podSelector: { matchLabels: { group: `g${n % GROUPS}` } },
  });
  return { ...made, metadata: { ...made.metadata, labels: WATCHED } };
}

async function leader(): Promise<string> {
  return (await world.get("lease", "signet-operator", NAMESPACE)).spec.holderIdentity;
}

const objects = (): Promise<Json[]> => world.list("clusterspiffeids", ["-l", "e2e-failover=mass"]);

/** The objects whose status does not say what is so, in a few words each. */
async function wrongStatuses(podsOf: (n: number) => number, when: string): Promise<string[]> {
  const found = await objects();
  if (found.length !== OBJECTS) return [`there are ${found.length} objects`];
  return found
    .filter((of) => !isRight(of, podsOf, when))
    .map(({ metadata, status }) => `${metadata.name}: ${JSON.stringify(status)}`);
}

const soon = { timeout: 120_000, interval: 500 };

function isRight(
  { metadata, spec, status }: Json,
  podsOf: (n: number) => number,
  when: string,
): boolean {
  const pods = podsOf(Number(metadata.name.slice(MANY.length + 1)));
  const [ready] = status?.conditions ?? [];
  const { stats } = status ?? {};
  return (
    spec.spiffeIDTemplate.includes(`/${when}/`) &&
    status?.observedGeneration === metadata.generation &&
    ready.observedGeneration === metadata.generation &&
    ready.status === "True" &&
    ready.reason === (pods === 0 ? "NothingSelected" : "EntriesRendered") &&
    [stats.namespacesSelected, stats.podsSelected, stats.entriesToSet].join() ===
      `1,${pods},${pods}` &&
    stats.podEntryRenderFailures + stats.entriesMasked + stats.entryFailures === 0
  );
}

interface Recorder {
  /** What an agent of the witness's node was told about the witness, each update as its entries. */
  readonly told: readonly string[];
  stop(): Promise<void>;
}

/** Listens at a replica as the agent on the witness's node does. */
async function listen(pod: string): Promise<Recorder> {
  const witness = await world.get("pod", "witness", NS);
  const agents = await signetPods(world, "agent");
  const agent = agents.find(({ spec }) => spec.nodeName === witness.spec.nodeName);
  const issuer: IssuerAccess = await openIssuer(world, pod);
  const headers = { authorization: `Bearer ${await tokenOf(world, agent)}` };
  const told: string[] = [];
  const ending = new AbortController();
  const request = { agentVersion: "test" };
  const updates = issuer.client.stream(Issuer.method.watch, request, {
    headers,
    deadline: Date.now() + 200_000,
  });
  const reading = (async () => {
    for await (const { update } of updates) {
      if (update.case !== "pod" || update.value.podUid !== witness.metadata.uid) continue;
      told.push(
        update.value.entries.map(({ entryId, revision }) => `${entryId} ${revision}`).join(),
      );
    }
  })().catch((error: unknown) => {
    if (!ending.signal.aborted) told.push(`ended: ${String(error)}`);
  });
  return {
    told,
    async stop() {
      if (ending.signal.aborted) return;
      ending.abort();
      await issuer.close();
      await reading;
    },
  };
}

interface Poller {
  /** Every different list of entry IDs that was seen, and what went wrong. */
  readonly seen: ReadonlySet<string>;
  readonly polls: number;
  stop(): Promise<void>;
}

/** Asks for the entries of what nobody touches, all the time. */
function poll(): Poller {
  const seen = new Set<string>();
  let polls = 0;
  const ending = new AbortController();
  const polling = (async () => {
    while (!ending.signal.aborted) {
      const found = await entries(world, ["-n", STILL]);
      seen.add(found.map(({ id }) => id).join());
      polls += 1;
    }
  })().catch((error: unknown) => void seen.add(String(error)));
  return {
    seen,
    get polls() {
      return polls;
    },
    async stop() {
      ending.abort();
      await polling;
    },
  };
}

describe("a leader that is killed during a mass change", () => {
  it("is followed by another, and all statuses become right", async () => {
    recorder = await listen(survivor.metadata.name);
    poller = poll();
    const before = await leader();
    since = Date.now();
    const report = (what: string): void => console.log(`e2e: ${what} ${Date.now() - since} ms`);
    const change = Promise.all([
      world.apply(...numbers(OBJECTS).map((n) => object(n, "after"))),
      world.apply(...numbers(PODS).map((n) => manyPod(n, n % 5))),
    ]);
    await world.until("the leader to be at work", async () => {
      const done = (await objects()).filter(({ status }) => status.observedGeneration === 2).length;
      if (done === 0) return undefined;
      report(`${done} statuses written, leader killed after`);
      return true;
    });
    await world.cluster.killContainer({ namespace: NAMESPACE, pod: killed });
    await change;
    report(`${OBJECTS} objects and ${PODS} pods changed after`);
    await world.until(
      "another leader",
      async () => ((await leader()) !== before && (await leader()) !== "" ? true : undefined),
      120_000,
    );
    report("another leader after");
    const podsOf = (n: number): number => (n % GROUPS < 5 ? 16 : 0);
    await expect.poll(() => wrongStatuses(podsOf, "after"), soon).toEqual([]);
    report("all statuses right after");
  });

  it("costs nobody an entry: neither agents nor users saw one go or change", async () => {
    await poller.stop();
    await recorder.stop();
    console.log(`e2e: ${poller.polls} polls, ${recorder.told.length} updates`);
    expect([...poller.seen].map((ids) => ids.split(",").length)).toEqual([STILL_PODS]);
    expect(poller.polls).toBeGreaterThan(3);
    // The first is what there is when the stream begins.
    expect(recorder.told).toEqual([expect.stringMatching(/^[0-9a-f]{32} [0-9a-f]{32}$/)]);
    const { rotations, violations } = await hear(world, NS, "witness");
    expect(violations).toEqual([]);
    expect(rotations.filter(({ at }) => at > since)).toEqual([]);
    expect((await world.svid(NS, "witness")).uris).toEqual(["spiffe://example.org/witness"]);
  });

  it("leaves both replicas with the same entries, and those that the rules say", async () => {
    await world.ready(NAMESPACE, killed, 90_000);
    const replicas = [killed, survivor.metadata.name];
    const lists = await Promise.all(
      replicas.map(async (name) => {
        await world.cluster.kubectl(["label", "pod", "-n", NAMESPACE, name, `e2e-replica=${name}`]);
        const one = ["--operator-selector", `${SELECTOR},e2e-replica=${name}`];
        return world.until("all entries", async () => {
          const found = await entries(world, ["-n", MANY, ...one]);
          return found.length === PODS * (OBJECTS / GROUPS) ? found : undefined;
        });
      }),
    );
    for (const name of replicas) {
      await world.cluster.kubectl(["label", "pod", "-n", NAMESPACE, name, "e2e-replica-"]);
    }
    const expected = numbers(PODS).flatMap((pod) =>
      numbers(OBJECTS)
        .filter((n) => n % GROUPS === pod % 5)
        .map((n) => `many-${pod} spiffe://example.org/after/${n}/many-${pod}`),
    );
    expect(lists[0]?.map(({ pod, spiffeId }) => `${pod} ${spiffeId}`).toSorted()).toEqual(
      expected.toSorted(),
    );
    expect(lists[1]).toEqual(lists[0]);
  });
});
