import { X509Certificate } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { activateNextAuthority, prepareNextAuthority } from "../ca-rotation.ts";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, MOUNT_PATH, openWorld, TRUST_DOMAIN, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

/**
 * nginx and PostgreSQL as Debian ships them follow SVIDs of 20 s by a reload, while two clients, one of them libpq, open
 * connection after connection: through rotations, and through a change of the trust domain's CA.
 */
const NS = "e2e-servers";
const ROTATIONS = 2;
const SERVERS = ["nginx", "postgres"] as const;
let world: World;
/** What the clients met in the end. */
let load: Record<(typeof SERVERS)[number], Met>;
let libpq: string;

/** What `workload/load.mjs` tells of a server. */
interface Met {
  readonly good: number;
  readonly faults: readonly string[];
  /** Serial numbers of the server's certificates, each once. */
  readonly serials: readonly string[];
}

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  const [a = "", b = ""] = world.cluster.workers;
  await world.apply(
    clusterSpiffeId(NS, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
      dnsNameTemplates: ["{{ .PodMeta.Name }}.shop"],
      ttl: "20s",
    }),
    serverPod("nginx", a, 33, "test -s /tmp/nginx.pid"),
    serverPod("postgres", b, 70, "test -e /tmp/ready"),
  );
  const [nginx, postgres] = await Promise.all(SERVERS.map((name) => world.ready(NS, name, 90_000)));
  await world.apply(clientPod(b, nginx.status.podIP, postgres.status.podIP));
  await world.ready(NS, "load");
  await serversRotated(ROTATIONS);

  const before = await world.svid(NS, "load");
  const next = await prepareNextAuthority(world);
  await everyoneHolds(next.certificate);
  await activateNextAuthority(world, next.id);
  const root = new X509Certificate(next.certificate);
  await Promise.all([...SERVERS, "load"].map((pod) => signedBy(pod, root)));
  const seen = Math.max(...Object.values((await reports()).load).map((m) => m.serials.length));
  await serversRotated(seen + 1);
  expect((await world.svid(NS, "load")).serial).not.toBe(before.serial);
  ({ load, libpq } = await reports());
  const connections = SERVERS.map((name) => `${load[name].good} to ${name}`).join(", ");
  console.log(
    `e2e: new TLS connections: ${connections}; libpq: ${libpq.trim().split("\n").at(-1)}`,
  );
});

afterAll(() => tidy(world, { namespaces: [NS], clusterSpiffeIds: [NS] }));

describe.each(SERVERS)("%s under load", (name) => {
  it("shows a new certificate after each rotation", () => {
    expect(load[name].serials.length).toBeGreaterThan(ROTATIONS + 1);
  });

  it("takes every connection, also while the CA changes", () => {
    expect(load[name].faults).toEqual([]);
    expect(load[name].good).toBeGreaterThan(200);
  });

  it("runs in the same container, and was reloaded by what saw the swap of ..data", async () => {
    const pod = await world.get("pod", name, NS);
    expect(pod.status.containerStatuses[0].restartCount).toBe(0);
    const log = await world.cluster.kubectl(["logs", "-n", NS, name, "--tail=-1"]);
    expect(log.match(/^reloaded$/gm)?.length).toBeGreaterThanOrEqual(ROTATIONS);
    expect(log).not.toMatch(/\[emerg\]|\[alert\]|could not load|FATAL/);
  });
});

describe("libpq", () => {
  it("connects with sslmode=verify-ca and a client certificate all the time", () => {
    expect(libpq).not.toContain("failed");
    const [, good = "0"] = /^(\d+) good, 0 bad/.exec(libpq.trim().split("\n").at(-1) ?? "") ?? [];
    expect(Number(good)).toBeGreaterThan(100);
  });

  it("shows PostgreSQL a new client certificate after each rotation", () => {
    const serials = [...libpq.matchAll(/client serial (\d+)$/gm)].map(([, serial]) => serial);
    expect(new Set(serials).size).toBeGreaterThan(ROTATIONS);
  });
});

describe("a server", () => {
  it("refuses a workload of the same trust domain that PostgreSQL's map does not name", async () => {
    const { status } = await world.get("pod", "postgres", NS);
    const script = `timeout 20 sh /servers/psql.sh ${status.podIP} | head -1`;
    const { stdout } = await world.exec(NS, "nginx", "sh", "-c", script);
    expect(stdout).toMatch(/^failed: .*certificate authentication failed for user "app"/);
  });
});

/** A server that runs as `uid`; PostgreSQL takes a key of root's that its group alone may read. */
function serverPod(name: string, node: string, uid: number, probe: string): Json {
  const image = world.images.servers;
  return workloadPod(world, {
    ...{ name, namespace: NS, node },
    spec: {
      securityContext: { runAsUser: uid, runAsGroup: uid },
      containers: [
        {
          ...{ name: "main", image, args: [`/servers/${name}.sh`] },
          readinessProbe: { exec: { command: ["sh", "-c", probe] }, periodSeconds: 1 },
          volumeMounts: [{ name: "spiffe", mountPath: MOUNT_PATH, readOnly: true }],
        },
      ],
      volumes: [
        {
          name: "spiffe",
          csi: {
            driver: "csi.spiffe.io",
            readOnly: true,
            volumeAttributes: { "signet.dev/fs-group": `${uid}` },
          },
        },
      ],
    },
  });
}

function clientPod(node: string, nginx: string, postgres: string): Json {
  const id = (name: string): string => `spiffe://${TRUST_DOMAIN}/${name}`;
  const args = ["/workload/load.mjs", nginx, id("nginx"), postgres, id("postgres")];
  return workloadPod(world, {
    ...{ name: "load", namespace: NS, node },
    spec: {
      securityContext: { runAsUser: 70, runAsGroup: 70, fsGroup: 70 },
      containers: [
        { name: "main", image: world.images.workload, args },
        { name: "libpq", image: world.images.servers, args: ["/servers/psql.sh", postgres] },
      ],
    },
  });
}

async function reports(): Promise<{ load: typeof load; libpq: string }> {
  const logs = (container: string, tail: number): Promise<string> =>
    world.cluster.kubectl(["logs", "-n", NS, "load", "-c", container, `--tail=${tail}`]);
  return { load: JSON.parse(await logs("main", 1)), libpq: await logs("libpq", -1) };
}

/** Waits until the clients have seen more than `count` certificates of each server, or one that failed. */
function serversRotated(count: number): Promise<unknown> {
  return world.until(
    `${count} rotations of both servers under load`,
    async () => {
      const { load: now } = await reports();
      // What failed is shown by the tests.
      const failed = SERVERS.some((name) => now[name].faults.length > 0);
      return failed || SERVERS.every((name) => now[name].serials.length > count) || undefined;
    },
    120_000,
  );
}

async function fileOf(pod: string, file: string): Promise<string> {
  const { code, stdout, stderr } = await world.exec(NS, pod, "cat", `${MOUNT_PATH}/${file}`);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** Waits until the authority is in every pod's bundle. */
async function everyoneHolds(certificate: string): Promise<void> {
  const body = certificate.replaceAll(/\s/g, "");
  for (const pod of [...SERVERS, "load"]) {
    await world.until(`the next authority in ${pod}`, async () => {
      const bundle = await fileOf(pod, "ca.crt");
      return bundle.replaceAll(/\s/g, "").includes(body) || undefined;
    });
  }
}

/** Waits until the pod's SVID comes from the authority. */
async function signedBy(pod: string, authority: X509Certificate): Promise<void> {
  await world.until(`an SVID of the next authority in ${pod}`, async () => {
    const leaf = new X509Certificate(await fileOf(pod, "tls.crt"));
    return leaf.verify(authority.publicKey) || undefined;
  });
}
