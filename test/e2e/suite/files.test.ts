import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import {
  clusterSpiffeId,
  expectedId,
  MOUNT_PATH,
  openWorld,
  TRUST_DOMAIN,
  workloadPod,
} from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-files";
const SPIRE_NS = "e2e-files-spire";
const SPIRE_PATH = "/spiffe-workload-api";
/** Older than the other, and behind it by name. */
const OLDER = "e2e-files-b";
const YOUNGER = "e2e-files-a";
const GROUP = 2000;
let world: World;

beforeAll(async () => {
  world = await openWorld();
  await Promise.all([world.namespace(NS), world.namespace(SPIRE_NS, {})]);
  await world.apply(
    clusterSpiffeId(OLDER, NS, { ttl: "10m", dnsNameTemplates: ["{{ .PodMeta.Name }}.shop"] }),
    clusterSpiffeId(SPIRE_NS, SPIRE_NS),
    workloadPod(world, { name: "plain", namespace: NS, spec: lookingFirst() }),
    workloadPod(world, { name: "grouped", namespace: NS, spec: grouped() }),
    workloadPod(world, { name: "spire", namespace: SPIRE_NS, spec: spireStyle() }),
  );
  await world.ready(NS, "plain");
  // Creation times have whole seconds: by now the second one is younger.
  await world.apply(
    clusterSpiffeId(YOUNGER, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/second/{{ .PodMeta.Name }}",
      podSelector: { matchLabels: { ids: "two" } },
    }),
    ...["two-1", "two-2"].map((name) =>
      workloadPod(world, { name, namespace: NS, labels: { ids: "two" } }),
    ),
  );
  await Promise.all(["grouped", "two-1", "two-2"].map((name) => world.ready(NS, name)));
  await world.ready(SPIRE_NS, "spire");
});

afterAll(() =>
  tidy(world, {
    namespaces: [NS, SPIRE_NS],
    clusterSpiffeIds: [OLDER, YOUNGER, SPIRE_NS],
  }),
);

describe("the volume of a pod", () => {
  it("holds the SVID before the first init container runs", async () => {
    const pod = await world.get("pod", "plain", NS);
    const [look] = pod.status.initContainerStatuses;
    expect(look.restartCount).toBe(0);
    expect(look.state.terminated.exitCode).toBe(0);
  });

  it("holds a chain that openssl verifies against every bundle file", async () => {
    for (const bundle of ["ca.crt", "bundle.pem", `${TRUST_DOMAIN}.trust-bundle.pem`]) {
      for (const purpose of ["sslclient", "sslserver"]) {
        const verify = `openssl verify -x509_strict -purpose ${purpose} -CAfile ${bundle} -untrusted tls.crt tls.crt`;
        expect(await shell("plain", verify)).toBe("tls.crt: OK");
      }
    }
  });

  it("names exactly one URI, the SPIFFE ID, and the DNS names asked for", async () => {
    const svid = await world.svid(NS, "plain");
    expect(svid.uris).toEqual([expectedId(NS)]);
    expect(svid.dnsNames).toEqual(["plain.shop"]);
  });

  it("holds the key of the certificate", async () => {
    const ofKey = await shell("plain", "openssl pkey -in tls.key -pubout");
    expect(ofKey).toContain("BEGIN PUBLIC KEY");
    expect(await shell("plain", "openssl x509 -in tls.crt -noout -pubkey")).toBe(ofKey);
  });

  it("holds an SVID that lives as long as its ClusterSPIFFEID says", async () => {
    const svid = await world.svid(NS, "plain");
    // Dated back up to ten seconds, for clocks that lag.
    expect(svid.notAfter - svid.notBefore).toBeGreaterThanOrEqual(600_000);
    expect(svid.notAfter - svid.notBefore).toBeLessThanOrEqual(611_000);
  });

  it("has every default file, each with what belongs in it", async () => {
    const files = await readAll(NS, "plain", MOUNT_PATH);
    expectDefaultFiles(files);
    const published = await world.get("configmap", "signet-bundle", "signet-system");
    expect(Object.values(published.data)).toContain(files["ca.crt"]);
  });

  it("can be read by a user that is not root, without an fsGroup", async () => {
    expect(await shell("plain", "id -u")).toBe("65532");
    expect(await shell("plain", "cat ..data/* | grep -c BEGIN")).not.toBe("0");
    expect(await shell("plain", "stat -L -c %a tls.key tls.crt")).toBe("444\n444");
  });

  it("shows the key to the pod's fsGroup alone where there is one", async () => {
    const keyFiles = "tls.key svid_key.pem credential-bundle.pem";
    const stats = await shell("grouped", `stat -L -c '%a %u %g' ${keyFiles}`);
    expect(stats.split("\n")).toEqual(Array(3).fill(`440 0 ${GROUP}`));
    expect(await shell("grouped", "stat -L -c %a tls.crt ca.crt bundle.json")).toBe(
      "444\n444\n444",
    );
    for (const [container, uid] of Object.entries({ main: "65532", other: "4321" })) {
      expect(await shell("grouped", "id -u", container)).toBe(uid);
      expect(await shell("grouped", "head -n 1 tls.key", container)).toBe(
        "-----BEGIN PRIVATE KEY-----",
      );
    }
  });

  it("cannot be changed from within the pod, not even by root", async () => {
    for (const change of ["echo x > tls.key", "rm tls.crt", "touch mine", "ln -sfn / ..data"]) {
      const { code, stderr } = await inVolume("grouped", change, "root");
      expect({ change, failed: code !== 0, stderr }).toEqual({
        change,
        failed: true,
        stderr: expect.stringMatching(/Read-only file system/i),
      });
    }
  });

  it("gives every pod the SVID of the oldest ClusterSPIFFEID when two select it", async () => {
    const ids = ["two-1", "two-2"].map(async (name) => (await world.svid(NS, name)).uris);
    expect(await Promise.all(ids)).toEqual([[expectedId(NS)], [expectedId(NS)]]);
    // Both are in effect: the younger one is not the default, that is all.
    const younger = await world.until("status of the younger", async () => {
      const { status } = await world.get("clusterspiffeid", YOUNGER);
      return status?.stats?.entriesToSet === 2 ? status : undefined;
    });
    expect(younger.stats.entriesMasked).toBe(0);
  });

  it("works in a manifest that was written for SPIRE's driver, without injection", async () => {
    const pod = await world.get("pod", "spire", SPIRE_NS);
    expect(pod.spec.volumes.filter((v: Json) => v.csi)).toHaveLength(1);
    expect(pod.spec.containers[0].env).toHaveLength(1);
    const files = await readAll(SPIRE_NS, "spire", SPIRE_PATH);
    expectDefaultFiles(files);
    const argv = ["openssl", "x509", "-in", `${SPIRE_PATH}/svid.pem`, "-noout", "-text"];
    const { stdout } = await world.exec(SPIRE_NS, "spire", ...argv);
    expect(stdout.match(/URI:\S+/g)).toEqual([`URI:${expectedId(SPIRE_NS)}`]);
  });
});

describe("private keys", () => {
  it("lie in a tmpfs of the pod's own, in the pod and on its node", async () => {
    expect(await shell("plain", "stat -f -c %T .")).toBe("tmpfs");
    const pod = await world.get("pod", "plain", NS);
    const mounts = await onNode(
      pod.spec.nodeName,
      `grep '/pods/${pod.metadata.uid}/volumes/kubernetes.io~csi/' /proc/self/mountinfo`,
    );
    expect(mounts.split("\n")).toHaveLength(1);
    expect(mounts).toMatch(/ - tmpfs csi\.spiffe\.io rw/);
  });

  it("are nowhere on the node's disk", async () => {
    const { spec } = await world.get("pod", "plain", NS);
    const [, line = ""] = (await shell("plain", "cat tls.key")).split("\n");
    expect(line).toHaveLength(64);
    // Bound alone, without the mounts below it, the folder shows what is on the disk.
    const search = `
      grep -rlF -e '${line}' /var/lib/kubelet/pods | grep -c 'kubernetes.io~csi.*/mount/' >&2
      mkdir -p /run/disk && mount --bind /var/lib/kubelet /run/disk
      grep -rl -F -e '${line}' -e 'PRIVATE KEY' /run/disk/plugins/csi.spiffe.io /run/disk/pods
      test -d /run/disk/plugins/csi.spiffe.io/volumes && echo searched`;
    const { stdout, stderr } = await world.cluster.onNode(spec.nodeName, [
      ...["unshare", "-m", "sh", "-c"],
      search,
    ]);
    // That the search finds a key where there is one shows that it works.
    expect(Number(stderr.trim())).toBeGreaterThan(0);
    expect(stdout.trim()).toBe("searched");
  });
});

function lookingFirst(): Json {
  const look = `for (const name of ["tls.crt", "tls.key", "ca.crt"]) require("fs").readFileSync("${MOUNT_PATH}/" + name)`;
  return {
    initContainers: [{ name: "look", image: world.images.workload, args: ["-e", look] }],
  };
}

function grouped(): Json {
  const sleep = { image: world.images.workload, args: ["/workload/sleep.mjs"] };
  return {
    securityContext: { fsGroup: GROUP },
    containers: [
      { name: "main", ...sleep },
      { name: "other", ...sleep, securityContext: { runAsUser: 4321, runAsGroup: 4321 } },
      { name: "root", ...sleep, securityContext: { runAsUser: 0 } },
    ],
  };
}

function spireStyle(): Json {
  return {
    containers: [
      {
        name: "main",
        image: world.images.workload,
        args: ["/workload/sleep.mjs"],
        env: [{ name: "SPIFFE_ENDPOINT_SOCKET", value: `unix://${SPIRE_PATH}/spire-agent.sock` }],
        volumeMounts: [{ name: "spiffe", mountPath: SPIRE_PATH, readOnly: true }],
      },
    ],
    volumes: [{ name: "spiffe", csi: { driver: "csi.spiffe.io", readOnly: true } }],
  };
}

function expectDefaultFiles(files: Record<string, string>): void {
  const { "tls.crt": chain = "", "tls.key": key = "", "ca.crt": bundle = "" } = files;
  const { "bundle.json": document = "", ...others } = files;
  expect(others).toEqual({
    "tls.crt": chain,
    "svid.pem": chain,
    "tls.key": key,
    "svid_key.pem": key,
    "ca.crt": bundle,
    "bundle.pem": bundle,
    [`${TRUST_DOMAIN}.trust-bundle.pem`]: bundle,
    "credential-bundle.pem": key + chain,
  });
  expect(chain).toMatch(/^-----BEGIN CERTIFICATE-----\n/);
  expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
  const { keys, ...rest } = JSON.parse(document);
  expect(rest).toEqual({
    spiffe_sequence: expect.any(Number),
    spiffe_refresh_hint: expect.any(Number),
  });
  const of = (use: string): Json[] => keys.filter((jwk: Json) => jwk.use === use);
  expect(keys).toHaveLength(of("x509-svid").length + of("jwt-svid").length);
  expect(keys.every((jwk: Json) => jwk.kty === "EC" && jwk.d === undefined)).toBe(true);
  expect(of("jwt-svid").map((jwk) => typeof jwk.kid)).toContain("string");
  const inDocument = of("x509-svid").map((jwk) => jwk.x5c[0]);
  const inPem = bundle.split("-----END CERTIFICATE-----\n").slice(0, -1);
  expect(inDocument).toEqual(inPem.map((pem) => pem.replace(/^.*\n/, "").replaceAll("\n", "")));
}

/** All visible files of a volume, in one call. */
async function readAll(
  namespace: string,
  pod: string,
  folder: string,
): Promise<Record<string, string>> {
  const script = `const fs = require("fs"); process.chdir("${folder}");
    const names = fs.readdirSync(".").filter((name) => !name.startsWith(".."));
    const files = names.filter((name) => fs.statSync(name).isFile());
    console.log(JSON.stringify(Object.fromEntries(files.map((f) => [f, fs.readFileSync(f, "utf8")]))))`;
  const { code, stdout, stderr } = await world.exec(namespace, pod, "node", "-e", script);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function inVolume(pod: string, script: string, container?: string) {
  return world.cluster.tryKubectl([
    ...["exec", "-n", NS, pod, ...(container ? ["-c", container] : [])],
    ...["--", "sh", "-c", `cd ${MOUNT_PATH} && ${script}`],
  ]);
}

async function shell(pod: string, script: string, container?: string): Promise<string> {
  const { code, stdout, stderr } = await inVolume(pod, script, container);
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
}

async function onNode(node: string, script: string): Promise<string> {
  const { code, stdout, stderr } = await world.cluster.onNode(node, ["sh", "-c", script]);
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
}
