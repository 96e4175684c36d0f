import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse } from "yaml";
import { createAccount } from "../account.ts";
import type { Account } from "../account.ts";
import { run } from "../cluster/exec.ts";
import { entries, signet, signetSays } from "../plugin.ts";
import { tidy } from "../tidy.ts";
import {
  clusterSpiffeId,
  isReady,
  NAMESPACE,
  openWorld,
  signetPods,
  workloadPod,
} from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-explain";
const GOLD = { podSelector: { matchLabels: { app: "shop", tier: "gold" } } };
const NEW = `${NS}-new`;
const RULES = {
  gold: {
    ...GOLD,
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/gold/{{ .PodMeta.Name }}",
    dnsNameTemplates: ["{{ .PodMeta.Name }}.gold.example"],
    ttl: "90m",
    hint: "gold",
  },
  silver: { podSelector: { matchLabels: { app: "shop", tier: "silver" } } },
  elsewhere: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "elsewhere" } } },
  edge: { className: "spire-edge-spire" },
  failing: {
    ...GOLD,
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ (index .PodSpec.Containers 7).Name }}",
  },
  rest: { fallback: true },
};
let world: World;
let a: string;
let b: string;
let folder: string;

beforeAll(async () => {
  world = await openWorld();
  [a, b] = world.cluster.workers as [string, string];
  folder = await mkdtemp(join(tmpdir(), "signet-explain-"));
  await world.namespace(NS);
  await world.apply(
    ...Object.entries(RULES).map(([name, spec]) => clusterSpiffeId(rule(name), NS, spec)),
    ...[pod("shop-0", a), pod("shop-1", b)],
  );
  await Promise.all(["shop-0", "shop-1"].map((name) => world.ready(NS, name)));
  // Creation times have whole seconds: by now it is younger.
  await world.apply(clusterSpiffeId(rule("twin"), NS, { ...RULES.gold, ttl: "1h" }));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  const clusterSpiffeIds = [...Object.keys(RULES), "twin", "new"].map(rule);
  await tidy(world, { namespaces: [NS], clusterSpiffeIds });
});

function rule(name: string): string {
  return `${NS}-${name}`;
}

function pod(name: string, node: string): Json {
  return workloadPod(world, { name, namespace: NS, node, labels: { app: "shop", tier: "gold" } });
}

describe("kubectl signet explain pod", () => {
  it("says which entry the pod has, what every object says of it, and what was issued", async () => {
    const explained = await world.until("the twin to be known", async () => {
      const view = JSON.parse(
        await signetSays(world, ["explain", "pod", `${NS}/shop-0`, "-o", "json"]),
      );
      return view.considered.some((of: Json) => of.rule === rule("twin")) ? view : undefined;
    });
    const { metadata } = await world.get("pod", "shop-0", NS);
    expect(explained).toMatchObject({
      kind: "Pod",
      namespace: NS,
      name: "shop-0",
      uid: metadata.uid,
      node: a,
      serviceAccount: "default",
      phase: "Running",
    });
    expect(explained.entries).toEqual([
      expect.objectContaining({
        source: { kind: "ClusterSPIFFEID", name: rule("gold") },
        spiffeId: "spiffe://example.org/gold/shop-0",
        selectors: [`k8s:pod-uid:${metadata.uid}`],
        dnsNames: ["shop-0.gold.example"],
        x509SvidTtl: 5400,
        hint: "gold",
      }),
    ]);
    const said = new Map(
      explained.considered.map((of: Json) => [of.rule, `${of.selects} ${of.outcome} ${of.clause}`]),
    );
    expect(said.get(rule("gold"))).toBe("pod set it gives the pod an entry");
    expect(said.get(rule("twin"))).toMatch(
      /^pod masked masked by ClusterSPIFFEID e2e-explain-gold,/,
    );
    expect(said.get(rule("silver"))).toMatch(
      /^namespace undefined podSelector does not match .*requires tier=silver/,
    );
    expect(said.get(rule("elsewhere"))).toMatch(
      /^neither undefined namespaceSelector does not match/,
    );
    expect(said.get(rule("edge"))).toMatch(
      /^untried undefined className "spire-edge-spire" is not/,
    );
    expect(said.get(rule("failing"))).toMatch(
      /^pod failed render failed: spec\.spiffeIDTemplate: .*index/,
    );
    expect(said.get(rule("rest"))).toBe(
      "pod skipped fallback not used because ClusterSPIFFEID e2e-explain-gold gives the pod an entry",
    );
    const svid = await world.svid(NS, "shop-0");
    expect(explained.lastIssued).toMatchObject({
      by: "attest",
      spiffeIds: ["spiffe://example.org/gold/shop-0"],
    });
    expect(Math.floor(Date.parse(explained.lastIssued.until) / 1000) * 1000).toBe(svid.notAfter);
  });

  it("says the same in words, the pod's own first", async () => {
    const text = await signetSays(world, ["explain", "pod", "shop-0", "-n", NS]);
    expect(text).toMatch(new RegExp(`^Pod: +${NS}/shop-0$`, "m"));
    expect(text).toMatch(
      /^Last issued: +\S+ \(\S+ ago\) by attest at signet-operator-\S+, until /m,
    );
    expect(text).toMatch(/^ +SPIFFE ID: +spiffe:\/\/example\.org\/gold\/shop-0$/m);
    expect(text).toMatch(/^ +X509-SVID lifetime: +1h30m$/m);
    const lines = text.slice(text.indexOf("Considered:")).split("\n");
    const at = (name: string): number => lines.findIndex((line) => line.includes(`${rule(name)} `));
    expect(lines[at("twin")]).toMatch(/masked by ClusterSPIFFEID e2e-explain-gold/);
    expect(lines[at("silver")]).toMatch(/no match +- +podSelector does not match/);
    expect(at("gold")).toBeLessThan(at("silver"));
    expect(at("silver")).toBeLessThan(at("elsewhere"));
  });

  it("fails with a word about a pod that is not there", async () => {
    const { code, stderr } = await signet(world, ["explain", "pod", `${NS}/nobody`]);
    expect(stderr).toContain(`knows no pod "${NS}/nobody"`);
    expect(code).toBe(1);
  });
});

describe("kubectl signet explain clusterspiffeid", () => {
  it("says what each of its pods gets", async () => {
    const { items, ...gold } = await explainRule("gold");
    expect(items).toBeUndefined();
    expect(gold.status).toMatchObject({ ready: true, reason: "EntriesRendered" });
    expect(gold.pods.map((of: Json) => [of.pod, of.outcome, of.entry?.spiffeId])).toEqual([
      [`${NS}/shop-0`, "set", "spiffe://example.org/gold/shop-0"],
      [`${NS}/shop-1`, "set", "spiffe://example.org/gold/shop-1"],
    ]);
    const failing = await explainRule("failing");
    expect(failing.status).toMatchObject({ ready: false, reason: "RenderFailed" });
    expect(failing.status.stats.podEntryRenderFailures).toBe(2);
    expect(failing.pods.map((of: Json) => of.outcome)).toEqual(["failed", "failed"]);
  });

  it("says so in words", async () => {
    const twin = await signetSays(world, ["explain", "clusterspiffeid", rule("twin")]);
    expect(twin).toMatch(/^Counts: .*podsSelected 2.*entriesMasked 2/m);
    expect(twin).toMatch(
      /shop-1 +masked +spiffe:\/\/example\.org\/gold\/shop-1 .*masked by ClusterSPIFFEID/,
    );
    const edge = await signetSays(world, ["explain", "clusterspiffeid", rule("edge")]);
    expect(edge).toMatch(/className "spire-edge-spire" is not the class of this operator/);
  });
});

describe("kubectl signet render", () => {
  const draft = (spec: Json = {}): Json =>
    clusterSpiffeId(NEW, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/new/{{ .PodMeta.Name }}",
      dnsNameTemplates: ["{{ .PodMeta.Name }}.{{ .PodMeta.Namespace }}.svc.{{ .ClusterDomain }}"],
      ttl: "20m",
      ...GOLD,
      ...spec,
    });

  async function file(...objects: Json[]): Promise<string> {
    const path = join(folder, "draft.yaml");
    await writeFile(path, objects.map((object) => JSON.stringify(object)).join("\n---\n"));
    return path;
  }

  it("shows what an object would give, and what it gives when it is applied", async () => {
    const path = await file(draft());
    const [view, ...others] = JSON.parse(
      await signetSays(world, ["render", "-f", path, "-o", "json"]),
    ).items;
    expect(others).toEqual([]);
    expect(view).toMatchObject({
      ...{ kind: "ClusterSPIFFEID", name: NEW, problems: [], namespacesSelected: 1 },
      ...{ podsSelected: 2, podsTried: 2, duplicates: 0 },
    });
    expect(view.outcomes.set).toBe(2);
    const rendered = view.pods.map(contentOf);
    expect(rendered).toEqual(
      ["shop-0", "shop-1"].map((name) => ({
        pod: name,
        spiffeId: `spiffe://example.org/new/${name}`,
        dnsNames: [`${name}.${NS}.svc.cluster.local`],
        x509SvidTtl: 1200,
      })),
    );
    expect(await world.list("clusterspiffeids", [`--field-selector=metadata.name=${NEW}`])).toEqual(
      [],
    );
    expect(await entries(world, ["--source", NEW])).toEqual([]);

    await world.cluster.kubectl(["apply", "-f", path]);
    await expect
      .poll(
        async () => (await entries(world, ["--source", NEW])).map((entry) => contentOf({ entry })),
        {
          timeout: 30_000,
        },
      )
      .toEqual(rendered);
    await world.remove("clusterspiffeid", NEW);
  });

  it("warns of what is there already, and reads standard input", async () => {
    const twin = draft({ spiffeIDTemplate: RULES.gold.spiffeIDTemplate });
    const text = await signetSays(world, ["render", "-f", "-"], { input: JSON.stringify(twin) });
    expect(text).toMatch(/^Valid: +yes$/m);
    expect(text).toMatch(
      /^Duplicates: +2 of the pods have an equal entry of another object already$/m,
    );
    expect(text).toMatch(
      /shop-0 +masked +spiffe:\S+gold\/shop-0 .*masked by ClusterSPIFFEID e2e-explain-gold/,
    );
  });

  it("shows what is wrong with each object, and ends with 1", async () => {
    const path = await file(
      draft({ spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Nmae }}" }),
      {
        apiVersion: "spire.spiffe.io/v1alpha1",
        kind: "ClusterStaticEntry",
        metadata: { name: NEW },
        spec: {
          spiffeID: "spiffe://example.org/x",
          parentID: "spiffe://example.org/y",
          selectors: [],
        },
      },
      { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "passed-over" } },
    );
    const { code, stdout, stderr } = await signet(world, ["render", "-f", path]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/ClusterSPIFFEID: +e2e-explain-new\nValid: +no/);
    expect(stdout).toMatch(/spec\.spiffeIDTemplate: 1:40: .*Nmae/);
    expect(stdout).toMatch(/ClusterStaticEntry: +e2e-explain-new\nValid: +no/);
    expect(stdout).toMatch(/spec\.selectors: at least one is needed/);
    expect(stderr).toContain("passed over: ConfigMap passed-over");
  });
});

describe("kubectl signet entries", () => {
  it("lists by namespace, node and object", async () => {
    const ofPods = async (...args: string[]): Promise<string[]> =>
      (await entries(world, args)).map(({ pod, source }) => `${pod} ${source.name}`);
    const gold = rule("gold");
    expect(await ofPods("-n", NS)).toEqual([`shop-0 ${gold}`, `shop-1 ${gold}`]);
    expect(await ofPods("-n", NS, "--node", b)).toEqual([`shop-1 ${gold}`]);
    expect(await ofPods("--source", `clusterspiffeid/${gold}`, "--node", a)).toEqual([
      `shop-0 ${gold}`,
    ]);
    expect(await ofPods("--source", `clusterstaticentry/${gold}`)).toEqual([]);
    expect(await ofPods("-n", "kube-system")).toEqual([]);
  });

  it("prints tables, JSON and YAML of the same entries", async () => {
    const list = (...args: string[]) => signetSays(world, ["entries", "-n", NS, ...args]);
    const json = JSON.parse(await list("-o", "json"));
    expect(json.items).toHaveLength(2);
    expect(parse(await list("-o", "yaml"))).toEqual(json);
    const [head = "", first = ""] = (await list()).split("\n");
    expect(head.split(/ {2,}/)).toEqual(["NAMESPACE", "POD", "NODE", "SPIFFE ID", "SOURCE"]);
    expect(first.split(/ {2,}/)).toEqual([
      ...[NS, "shop-0", a, "spiffe://example.org/gold/shop-0", `ClusterSPIFFEID/${rule("gold")}`],
    ]);
    const [wideHead = "", wide = ""] = (await list("-o", "wide")).split("\n");
    const columns = wideHead.split(/ {2,}/);
    const cells = wide.split(/ {2,}/);
    expect(cells[columns.indexOf("X509-TTL")]).toBe("1h30m");
    expect(cells[columns.indexOf("DNS NAMES")]).toBe("shop-0.gold.example");
    expect(cells[columns.indexOf("PARENT ID")]).toBe(json.items[0].parentId);
    expect(cells[columns.indexOf("ENTRY ID")]).toBe(json.items[0].id);
  });
});

describe("kubectl signet", () => {
  it("is a plugin that kubectl lists", async () => {
    const PATH = `${inject("pluginFolder")}:${process.env["PATH"]}`;
    const { stdout } = await run([world.cluster.kubectlPath, "plugin", "list"], { env: { PATH } });
    expect(stdout).toContain(join(inject("pluginFolder"), "kubectl-signet"));
  });

  it("names the version of every replica", async () => {
    const { client, operators } = JSON.parse(await signetSays(world, ["version", "-o", "json"]));
    const names = (await signetPods(world, "operator")).map(({ metadata }) => metadata.name);
    expect(new Set(operators.map(({ replica }: Json) => replica))).toEqual(new Set(names));
    for (const { version, trustDomain } of operators) {
      expect({ version, trustDomain }).toEqual({ version: client, trustDomain: "example.org" });
    }
  });

  it("ends with 2 for a command line that is wrong", async () => {
    const { code, stderr } = await signet(world, ["explain", "shop-0"]);
    expect(code).toBe(2);
    expect(stderr).toContain("explain needs a kind and a name");
  });
});

describe("a user of the cluster", () => {
  const core = { apiGroups: [""] };
  const LIST = { ...core, resources: ["pods"], verbs: ["get", "list"] };
  const FORWARD = { ...core, resources: ["pods/portforward"], verbs: ["get", "create"] };
  const accounts: Account[] = [];

  async function account(name: string, ...rules: Json[]): Promise<{ readonly kubeconfig: string }> {
    const made = await createAccount(world, { name: `${NS}-${name}`, namespace: NS, rules });
    accounts.push(made);
    return { kubeconfig: made.kubeconfig };
  }

  afterAll(() => Promise.all(accounts.map((made) => made.remove())));

  it("may ask with no right but port-forwards to the operator's pods", async () => {
    const asker = await account("asker", LIST, FORWARD);
    // The pod's namespace is the context's.
    const explained = await signetSays(world, ["explain", "pod", "shop-1", "-o", "json"], asker);
    expect(JSON.parse(explained).entries[0].spiffeId).toBe("spiffe://example.org/gold/shop-1");
    expect(await signetSays(world, ["entries", "-n", NS], asker)).toContain("shop-0");
  });

  it("is told which right is missing", async () => {
    const looker = await signet(world, ["entries"], await account("looker", LIST));
    expect(looker.stderr).toContain(
      `the verbs get and create on pods/portforward in namespace "${NAMESPACE}" are needed`,
    );
    expect(looker).toMatchObject({ code: 1, stdout: "" });
    const stranger = await signet(world, ["entries"], await account("stranger"));
    expect(stranger.stderr).toContain(
      `the verb list on pods in namespace "${NAMESPACE}" is needed`,
    );
    expect(stranger).toMatchObject({ code: 1, stdout: "" });
  });
});

describe("with one of two replicas down", () => {
  it("kubectl signet asks the other, and names the one that did not answer", async () => {
    const [down] = await signetPods(world, "operator");
    const name: string = down.metadata.name;
    await crash(name);
    const explained = await signet(world, ["explain", "pod", `${NS}/shop-0`, "-o", "json"]);
    const listed = await entries(world, ["-n", NS]);
    const state = (await world.get("pod", name, NAMESPACE)).status.containerStatuses[0];
    // Only then it was down all the time.
    expect(state.state.waiting?.reason).toBe("CrashLoopBackOff");
    expect(JSON.parse(explained.stdout).entries[0].spiffeId).toBe(
      "spiffe://example.org/gold/shop-0",
    );
    expect(explained.stderr).toContain(`${name} did not answer`);
    expect(explained.code).toBe(0);
    expect(listed).toHaveLength(2);
    // Its successor does not wait as long as kubelet would.
    await world.remove("pod", name, NAMESPACE);
    await world.until("two replicas", twoReplicas);
  });
});

/** There are none but two replicas, and both are Ready. */
async function twoReplicas(): Promise<true | undefined> {
  const replicas = await signetPods(world, "operator");
  const ready = replicas.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  return (replicas.length === 2 && ready.length === 2 && ready.every(isReady)) || undefined;
}

/** Kills a replica again and again, until kubelet waits before it starts it anew. */
async function crash(name: string): Promise<void> {
  await world.until(`${name} to be down`, async () => {
    const { status } = await world.get("pod", name, NAMESPACE);
    const [{ state }] = status.containerStatuses;
    if (state.waiting?.reason === "CrashLoopBackOff") return true;
    if (state.running) await world.cluster.killContainer({ namespace: NAMESPACE, pod: name });
    return undefined;
  });
}

async function explainRule(name: string): Promise<Json> {
  return JSON.parse(
    await signetSays(world, ["explain", "clusterspiffeid", rule(name), "-o", "json"]),
  );
}

/** The part of an entry that does not depend on which object it comes from. */
function contentOf({ entry }: Json): Json {
  const { pod: name, spiffeId, dnsNames, x509SvidTtl } = entry;
  return { pod: name, spiffeId, dnsNames, x509SvidTtl };
}
