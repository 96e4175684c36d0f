import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build, LANGUAGES } from "../../clients/programs.ts";
import type { Language, Program } from "../../clients/programs.ts";
import { runClient, watchWith } from "../../clients/running.ts";
import type { Shown, Watching } from "../../clients/running.ts";
import { workshop } from "../cluster/cluster.ts";
import { volumesOn } from "../mounts.ts";
import { startEnvoys } from "../envoys.ts";
import type { Envoys } from "../envoys.ts";
import { peerSpec, providePeer } from "../peer.ts";
import { openPodFolder } from "../pod-socket.ts";
import type { PodFolder } from "../pod-socket.ts";
import { measureSilence } from "../silence.ts";
import { tidy } from "../tidy.ts";
import {
  clusterSpiffeId,
  NAMESPACE,
  openWorld,
  signetPods,
  TRUST_DOMAIN,
  workloadPod,
} from "../world.ts";
import type { Json, World } from "../world.ts";

/**
 * The agents' sockets as third parties' libraries meet them: on this machine, at the volumes of pods, and in two pods
 * that talk to each other without pause while agents go and come.
 */
const NS = "e2e-workload-api";
/** Longest wait until a library shows what the files of the pod show, also when agents take turns. */
const AT_ONCE_MS = 10_000;
/** The same where a node has no agent for some seconds: libraries wait 1 s, then 2 s, then 3 or 4 s between their tries. */
const AFTER_A_GAP_MS = 30_000;
const BUILD_MS = 1_800_000;
let world: World;
let node: string;
let programs: Record<Language | "grpcurl", Program>;
let watching: Record<Language, Watching>;
let web: PodFolder;
let nobody: PodFolder;
let envoys: Envoys;
/** Serial numbers that the server's Envoy has shown. */
const proxied = new Set<string>();
const folders: PodFolder[] = [];

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  const [a = "", b = ""] = world.cluster.workers;
  node = a;
  const peer = await providePeer(world);
  await world.apply(
    identities({}),
    ...["web", "api"].map((name) => workloadPod(world, { name, namespace: NS, node: a })),
    workloadPod(world, {
      ...{ name: "nobody", namespace: NS, node: a },
      labels: { anonymous: "yes" },
      annotations: { "signet.dev/optional": "true" },
    }),
    workloadPod(world, {
      ...{ name: "server", namespace: NS, node: a },
      spec: peerSpec(world, peer, ["serve", ":8443", id("caller")]),
    }),
    readerPod(a),
  );
  const shop = workshop(console.log);
  const made = [...LANGUAGES, "grpcurl" as const].map(async (name) => [
    name,
    await build[name](shop),
  ]);
  programs = Object.fromEntries(await Promise.all(made));
  const [webPod, nobodyPod, apiPod, serverPod] = await Promise.all(
    ["web", "nobody", "api", "server", "reader"].map((name) => world.ready(NS, name)),
  );
  web = await opened(webPod);
  nobody = await opened(nobodyPod);
  const api = await opened(apiPod);
  envoys = await startEnvoys(
    { id: id("web"), socket: join(web.path, "api.sock") },
    { id: id("api"), socket: join(api.path, "api.sock") },
  );
  const args = ["call", `${serverPod.status.podIP}:8443`, id("server")];
  await world.apply(
    workloadPod(world, {
      name: "caller",
      namespace: NS,
      node: b,
      spec: peerSpec(world, peer, args),
    }),
  );
  watching = Object.fromEntries(
    LANGUAGES.map((language) => [language, watchWith(programs[language], web.uri)]),
  ) as typeof watching;
  await Promise.all([world.ready(NS, "caller"), ...all((client) => showsFiles(client, 30_000))]);
}, BUILD_MS);

afterAll(async () => {
  await Promise.all([...all((client) => client.stop()), envoys?.stop()]);
  for (const folder of folders) folder.forget();
  await tidy(world, { namespaces: [NS], clusterSpiffeIds: [NS] });
});

describe.each(LANGUAGES)("the %s library on a pod's socket", (language) => {
  it("gets the pod's SVID, the bundles, a token, and the token's validation", async () => {
    const before = leaf();
    const { code, stdout, stderr } = await runClient(programs[language], "once", web.uri);
    expect(code, stderr).toBe(0);
    const shown = JSON.parse(stdout) as Shown;
    expect(shown.svids.map((svid) => svid.id)).toEqual([id("web")]);
    // A rotation may lie in between.
    const files = [before, leaf()].map((der) => der.toString("hex"));
    expect(files).toContain(shown.svids[0]?.leaf);
    expect(shown).toMatchObject({ x509: [TRUST_DOMAIN], jwt: [TRUST_DOMAIN] });
    expect([shown.token, shown.validated]).toEqual([id("web"), id("web")]);
  });

  it("is refused where the pod has no identity", async () => {
    const { code, stdout, stderr } = await runClient(programs[language], "once", nobody.uri);
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(/no ?identity ?issued|permission.?denied/i);
  });
});

it("grpcurl calls every method by reflection", async () => {
  const base = ["-plaintext", "-unix", "-max-time", "2", "-H", "workload.spiffe.io: true"];
  const socket = join(web.path, "api.sock");
  const call = (method: string, request: Json = {}): ReturnType<typeof runClient> => {
    const data = ["-d", JSON.stringify(request), socket];
    return runClient(programs.grpcurl, ...base, ...data, `SpiffeWorkloadAPI/${method}`);
  };
  const streams = ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"];
  const answers = await Promise.all(streams.map((method) => call(method)));
  for (const { stdout } of answers) expect(stdout).toContain(TRUST_DOMAIN);
  const { svids } = JSON.parse((await call("FetchJWTSVID", { audience: ["a"] })).stdout);
  const { stdout } = await call("ValidateJWTSVID", { audience: "a", svid: svids[0].svid });
  expect(JSON.parse(stdout)).toMatchObject({ spiffeId: id("web"), claims: { aud: ["a"] } });
});

it("every library shows a rotation when the files do", async () => {
  const times = await rotation("rotation", () => Promise.resolve());
  expect(Math.max(...times)).toBeLessThan(AT_ONCE_MS);
});

it("every library comes back to the agent that follows a deleted one", async () => {
  const silence = measureSilence(join(web.path, "api.sock"));
  const [agent] = await agentsOn(node);
  await world.remove("pod", agent.metadata.name, NAMESPACE);
  const next = await world.until("the next agent", async () => {
    const [other] = await agentsOn(node);
    return other?.metadata.uid === agent.metadata.uid ? undefined : other;
  });
  await world.ready(NAMESPACE, next.metadata.name);
  // Only the new agent can tell of this.
  const change = identities({ dnsNameTemplates: ["next.shop"] });
  await rotation("next agent", () => world.apply(change), AFTER_A_GAP_MS);
  const { longestMs, answers } = await silence.stop();
  console.log(`e2e: agent deleted: ${longestMs.toFixed(0)} ms of silence in ${answers} answers`);
  expect(new X509Certificate(leaf()).subjectAltName).toContain("DNS:next.shop");
});

it("an upgrade of the DaemonSet under running pods unmounts nothing, and the libraries follow", async () => {
  const before = await volumesOn(world, node);
  const silence = measureSilence(join(web.path, "api.sock"));
  const rollout = ["daemonset/signet-agent", "-n", NAMESPACE];
  await world.cluster.kubectl(["rollout", "restart", ...rollout]);
  await world.cluster.kubectl(["rollout", "status", ...rollout, "--timeout=120s"]);
  await rotation("upgrade", () => world.apply(identities({ dnsNameTemplates: ["newer.shop"] })));
  const { longestMs, answers } = await silence.stop();
  console.log(`e2e: agents upgraded: ${longestMs.toFixed(0)} ms of silence in ${answers} answers`);
  expect(longestMs).toBeLessThan(10_000);
  expect((await volumesOn(world, node)).mounted.toSorted()).toEqual(before.mounted.toSorted());
});

it("all the time a reader found a pair that belongs together, and no file missing", async () => {
  const seen = await lastLine("reader");
  const { missing, mismatched, expired, naiveMissing, faults } = seen;
  expect({ missing, mismatched, expired, naiveMissing, faults }).toEqual({
    ...{ missing: 0, mismatched: 0, expired: 0, naiveMissing: 0 },
    faults: [],
  });
  expect(seen.serials.length).toBeGreaterThan(3);
});

it("all the time two pods on go-spiffe spoke mTLS with SVIDs and tokens that changed", async () => {
  const seen = await lastLine("caller");
  console.log(`e2e: ${seen.good} calls between pods, ${seen.serials.length} SVIDs of the server`);
  // A token that is asked for while an agent starts may fail; what has been fetched goes on.
  expect(seen.faults.filter((fault: string) => !fault.includes("Unavailable"))).toEqual([]);
  expect(seen.serials.length).toBeGreaterThan(3);
  expect(seen.ownSerials.length).toBeGreaterThan(3);
  expect(seen.good).toBeGreaterThan(100);
});

it("all the time two Envoys spoke mTLS with secrets from two pods' sockets", async () => {
  await envoys.load.stop();
  console.log(`e2e: ${envoys.load.done} requests through Envoys, ${proxied.size} SVIDs shown`);
  expect(envoys.load.failures).toEqual([]);
  expect(envoys.load.done).toBeGreaterThan(1000);
  expect(proxied.size).toBeGreaterThan(2);
});

it("without a ClusterSPIFFEID the streams end with PermissionDenied, and begin again with it", async () => {
  await world.remove("clusterspiffeid", NS);
  const refused = await world.until("the refusal", async () => {
    const { code, stderr } = await runClient(programs.go, "once", web.uri);
    return code === 0 ? undefined : stderr;
  });
  expect(refused).toMatch(/permission.?denied/i);
  await world.apply(identities({}));
  await world.until("the SVID of before", async () => {
    const { code } = await runClient(programs.go, "once", web.uri);
    return code === 0 || undefined;
  });
});

function id(name: string): string {
  return `spiffe://${TRUST_DOMAIN}/${name}`;
}

function identities(spec: Json): Json {
  return clusterSpiffeId(NS, NS, {
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
    podSelector: { matchExpressions: [{ key: "anonymous", operator: "DoesNotExist" }] },
    ttl: "30s",
    ...spec,
  });
}

function readerPod(on: string): Json {
  const container = { name: "main", image: world.images.workload, args: ["/workload/reader.mjs"] };
  const containers = [{ ...container, resources: { limits: { cpu: "200m" } } }];
  return workloadPod(world, { name: "reader", namespace: NS, node: on, spec: { containers } });
}

async function opened(pod: Json): Promise<PodFolder> {
  const folder = await openPodFolder(world, pod);
  folders.push(folder);
  return folder;
}

/** The certificate in the pod's file, in DER. */
function leaf(): Buffer {
  return new X509Certificate(readFileSync(join(web.path, "tls.crt"))).raw;
}

function all<T>(act: (client: Watching) => Promise<T>): Promise<T>[] {
  return LANGUAGES.map((language) => act(watching[language]));
}

/** Waits until a client shows what the files show, which another rotation may change meanwhile; gives the milliseconds. */
async function showsFiles(client: Watching, withinMs: number): Promise<number> {
  const start = performance.now();
  const look = (): Promise<number> => client.shows(leaf(), 250);
  await world.until("a library to show the SVID of the files", look, withinMs);
  return performance.now() - start;
}

/** Waits until the files of the pod change after `cause`, and every library shows the same in time; gives the milliseconds. */
async function rotation(
  what: string,
  cause: () => Promise<unknown>,
  withinMs = AT_ONCE_MS,
): Promise<number[]> {
  const before = leaf();
  await cause();
  await world.until(`a new SVID in the files: ${what}`, () =>
    Promise.resolve(leaf().equals(before) ? undefined : true),
  );
  const times = await Promise.all(all((client) => showsFiles(client, withinMs)));
  for (const serial of await envoys.shown()) proxied.add(serial);
  const told = LANGUAGES.map((language, n) => `${language} ${times[n]?.toFixed(0)} ms`).join(", ");
  console.log(`e2e: ${what} seen after ${told}`);
  return times;
}

async function agentsOn(on: string): Promise<Json[]> {
  return (await signetPods(world, "agent")).filter(({ spec }) => spec.nodeName === on);
}

/** The last line of JSON that the pod printed; libraries log between them. */
async function lastLine(pod: string): Promise<Json> {
  const log = await world.cluster.kubectl(["logs", "-n", NS, pod, "--tail=50"]);
  return JSON.parse(log.split("\n").findLast((line) => line.startsWith("{")) ?? "");
}
