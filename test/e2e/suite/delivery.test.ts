import { createPublicKey, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "../../clients/programs.ts";
import type { Program } from "../../clients/programs.ts";
import { runClient } from "../../clients/running.ts";
import { workshop } from "../cluster/cluster.ts";
import { available, run } from "../cluster/exec.ts";
import { manifest } from "../manifests.ts";
import { openPodFolder } from "../pod-socket.ts";
import type { PodFolder } from "../pod-socket.ts";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, openWorld, TRUST_DOMAIN, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

/** What pods ask for by annotations: every layout, tokens, foreign bundles, notices; and what goes with an identity. */
const NS = "e2e-delivery";
const SECOND = "e2e-delivery-second";
const PARTNER = "partner.example";
const PASSWORD = "in-the-cluster";
const READ_MS = 1_800_000;
let world: World;
let grpcurl: Program;
let rich: PodFolder;
let kept: PodFolder;
let cleared: PodFolder;
let twofold: PodFolder;

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  const [node = ""] = world.cluster.workers;
  const pod = (name: string, annotations: Record<string, string>, spec: Json = {}): Json =>
    workloadPod(world, { name, namespace: NS, node, annotations, spec, labels: { name } });
  const listener = {
    containers: [{ name: "main", image: world.images.workload, args: ["/workload/listen.mjs"] }],
  };
  await world.cluster.kubectl(["apply", "-f", "-"], { input: await manifest(world, "federation") });
  await world.apply(
    identities(),
    clusterSpiffeId(SECOND, NS, {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/second",
      podSelector: { matchLabels: { name: "twofold" } },
      hint: "second",
      ttl: "40s",
    }),
    pod("twofold", {
      "signet.dev/key-type": "rsa-2048",
      "signet.dev/key-format": "pkcs1",
      "signet.dev/uid": "4711",
      "signet.dev/file-mode": "0440",
    }),
    pod(
      "rich",
      {
        "signet.dev/files": "default,combined,pkcs12,jks,rotated",
        "signet.dev/file-names": "tls-combined.pem=haproxy/site.pem",
        "signet.dev/key-format": "sec1",
        "signet.dev/keystore-password": PASSWORD,
        "signet.dev/jwt-audiences": "db, api=https://api.example/v1",
        "signet.dev/notify": "http://:8085/rotated",
      },
      listener,
    ),
    pod("kept", {}),
    pod("cleared", { "signet.dev/on-removal": "remove", "signet.dev/jwt-audiences": "db" }),
  );
  grpcurl = await build.grpcurl(workshop(console.log));
  const open = async (name: string): Promise<PodFolder> =>
    openPodFolder(world, await world.ready(NS, name));
  [rich, kept, cleared, twofold] = await Promise.all([
    open("rich"),
    open("kept"),
    open("cleared"),
    open("twofold"),
  ]);
}, READ_MS);

afterAll(async () => {
  for (const folder of [rich, kept, cleared, twofold]) folder?.forget();
  for (const name of ["partner", "other"]) {
    await world.remove("clusterfederatedtrustdomain", name);
  }
  await tidy(world, { namespaces: [NS], clusterSpiffeIds: [NS, SECOND] });
});

describe("JWT-SVIDs as files", () => {
  it("are one for each audience, and verify with the keys of bundle.json", async () => {
    for (const [file, audience] of [
      ["db", "db"],
      ["api", "https://api.example/v1"],
    ] as const) {
      const { payload, protectedHeader } = await jwtVerify(token(file), jwtKeys(), { audience });
      expect(payload.sub).toBe(id("rich"));
      expect(payload).toMatchObject({ iss: expect.any(String), jti: expect.any(String) });
      expect(protectedHeader).toMatchObject({ alg: "ES256", kid: expect.any(String) });
      expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(30);
    }
  });

  it("are replaced before they expire", async () => {
    const before = decodeJwt(token("db"));
    const after = await world.until("the next token", () => {
      const now = decodeJwt(token("db"));
      return Promise.resolve(now.jti === before.jti ? undefined : now);
    });
    expect(after.iat).toBeLessThan(before.exp ?? 0);
  });
});

describe("layouts", () => {
  it("give a key in the format asked for, and key and chain in one file of the name asked for", () => {
    const combined = read(rich, "haproxy/site.pem");
    expect(combined).toMatch(/^-----BEGIN EC PRIVATE KEY-----[^]*-----BEGIN CERTIFICATE-----/);
    const key = read(rich, "tls.key");
    expect(combined.startsWith(key)).toBe(true);
    expect(createPublicKey(read(rich, "tls.crt")).export({ type: "spki", format: "pem" })).toBe(
      createPublicKey(key).export({ type: "spki", format: "pem" }),
    );
  });

  it("give a key of the type, and files with the modes and the owner, asked for", () => {
    const key = read(twofold, "tls.key");
    expect(key).toMatch(/^-----BEGIN RSA PRIVATE KEY-----/);
    expect(createPublicKey(key).asymmetricKeyDetails?.modulusLength).toBe(2048);
    const permissions = (name: string): number[] => {
      const { uid, mode } = statSync(join(twofold.path, name));
      return [uid, mode & 0o777];
    };
    expect(permissions("tls.key")).toEqual([4711, 0o400]);
    expect(permissions("tls.crt")).toEqual([4711, 0o440]);
  });

  it("give a further SVID with the name of its hint, and the same key", async () => {
    const folder = "svids/second";
    const leaf = new X509Certificate(read(twofold, `${folder}/tls.crt`));
    expect(leaf.subjectAltName).toBe(`URI:${id("second")}`);
    expect(read(twofold, `${folder}/tls.key`)).toBe(read(twofold, "tls.key"));
    const { svids } = lastMessage((await ask("FetchX509SVID", twofold, 2)).stdout);
    const told = svids.map(({ spiffeId, hint = "" }: Json) => [spiffeId, hint]);
    expect(told.toSorted()).toEqual([
      [id("second"), "second"],
      [id("twofold"), ""],
    ]);
  });

  it("give keystores and truststores that Java's keytool reads", async () => {
    if (!(await available("keytool"))) throw new Error("keytool is missing: install a JDK");
    for (const [store, what] of [
      ["keystore.jks", "PrivateKeyEntry"],
      ["keystore.p12", "PrivateKeyEntry"],
      ["truststore.jks", "trustedCertEntry"],
      ["truststore.p12", "trustedCertEntry"],
    ] as const) {
      const list = ["keytool", "-list", "-keystore", join(rich.path, store)];
      const { code, stdout, stderr } = await run([...list, "-storepass", PASSWORD]);
      expect(code, `${store}: ${stdout}${stderr}`).toBe(0);
      expect(stdout).toContain(what);
    }
  });

  it("give a file that tells when, and a notice to the pod after each rotation", async () => {
    const before = read(rich, "rotated");
    await world.until("a rotation", () =>
      Promise.resolve(read(rich, "rotated") === before ? undefined : true),
    );
    expect(Math.abs(Date.parse(read(rich, "rotated").trim()) - Date.now())).toBeLessThan(5000);
    const notices = (): Promise<string> => world.cluster.kubectl(["logs", "-n", NS, "rich"]);
    await expect.poll(notices, { timeout: 10_000 }).toContain("POST /rotated");
  });
});

describe("the bundle of a foreign trust domain", () => {
  it("lies in the volume for a pod that federates with it", () => {
    expect(readdirSync(join(rich.path, "federated"))).toEqual([`${PARTNER}.pem`]);
    expect(read(rich, `federated/${PARTNER}.pem`)).toContain("-----BEGIN CERTIFICATE-----");
    expect(read(rich, `${PARTNER}.trust-bundle.pem`)).toBe(read(rich, `federated/${PARTNER}.pem`));
  });

  it("is in the answers of the Workload API", async () => {
    const { stdout } = await ask("FetchX509Bundles", rich, 2);
    expect(Object.keys(lastMessage(stdout).bundles).toSorted()).toEqual(
      [TRUST_DOMAIN, PARTNER].map((name) => `spiffe://${name}`).toSorted(),
    );
    const svids = lastMessage((await ask("FetchX509SVID", rich, 2)).stdout);
    expect(Object.keys(svids.federatedBundles)).toEqual([`spiffe://${PARTNER}`]);
  });
});

describe("when no ClusterSPIFFEID selects the pods any more", () => {
  beforeAll(async () => {
    const streams = [kept, cleared].map((folder) => ask("FetchX509SVID", folder, 30));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await world.remove("clusterspiffeid", NS);
    for (const { stdout, stderr } of await Promise.all(streams)) {
      expect(stdout).toContain("x509Svid");
      expect(stderr).toContain("PermissionDenied");
    }
  });

  it("keeps the files by default", () => {
    expect(read(kept, "tls.key")).toContain("PRIVATE KEY");
  });

  it("takes keys, SVIDs and tokens away where the pod asked for it, and leaves what others are verified with", async () => {
    await world.until("the key to be gone", () =>
      Promise.resolve(readdirSync(cleared.path).includes("tls.key") ? undefined : true),
    );
    const shown = readdirSync(cleared.path).filter((name) => !name.startsWith(".."));
    expect(shown.toSorted()).toEqual(
      [
        ...["api.sock", "bundle.json", "bundle.pem", "ca.crt", "federated", "socket"],
        ...[`${TRUST_DOMAIN}.trust-bundle.pem`, `${PARTNER}.trust-bundle.pem`, "spire-agent.sock"],
      ].toSorted(),
    );
  });

  it("brings everything back with an identity", async () => {
    await world.apply(identities());
    await world.until("the key to be back", () =>
      Promise.resolve(readdirSync(cleared.path).includes("tls.key") || undefined),
    );
    const { stdout } = await ask("FetchX509SVID", cleared, 2);
    expect(stdout).toContain(id("cleared"));
    const { payload } = await jwtVerify(token("db", cleared), jwtKeys(), { audience: "db" });
    expect(payload.sub).toBe(id("cleared"));
  });
});

function id(name: string): string {
  return `spiffe://${TRUST_DOMAIN}/${name}`;
}

function identities(): Json {
  return clusterSpiffeId(NS, NS, {
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
    federatesWith: [PARTNER],
    ttl: "40s",
    jwtTtl: "30s",
  });
}

function read(folder: PodFolder, name: string): string {
  return readFileSync(join(folder.path, name), "utf8");
}

function token(name: string, folder = rich): string {
  return read(folder, `jwt/${name}`).trim();
}

/** The bundle's keys for JWT-SVIDs; their use is SPIFFE's own word, which jose does not know. */
function jwtKeys(): ReturnType<typeof createLocalJWKSet> {
  const { keys } = JSON.parse(read(rich, "bundle.json"));
  const used = keys.filter(({ use }: Json) => use === "jwt-svid");
  return createLocalJWKSet({ keys: used.map((key: Json) => ({ ...key, use: "sig" })) });
}

/** The last of the messages that grpcurl printed one after another: a rotation may bring a second one. */
function lastMessage(stdout: string): Json {
  return JSON.parse(stdout.split(/(?<=^\})\n/m).findLast((text) => text.trim() !== "") ?? "");
}

/** Calls a method of the Workload API and gives what came within some seconds. */
function ask(method: string, folder: PodFolder, seconds: number): ReturnType<typeof runClient> {
  const options = [
    "-plaintext",
    "-unix",
    "-max-time",
    `${seconds}`,
    "-H",
    "workload.spiffe.io: true",
  ];
  const socket = join(folder.path, "api.sock");
  return runClient(grpcurl, ...options, socket, `SpiffeWorkloadAPI/${method}`);
}
