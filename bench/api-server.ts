import { generateKeyPairSync } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Agent, request } from "undici";
import { systemClock } from "../src/core/clock.ts";
import { createKubeClient } from "../src/kube/client.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { makeServerCertificate } from "../test/fakes/api-tls.ts";
import { workshop } from "../test/e2e/cluster/cluster.ts";
import { goPrograms } from "../test/e2e/cluster/go-tools.ts";
import { freePort, startProgram } from "./api-server-process.ts";
import type { Program } from "./api-server-process.ts";

const START_MS = 60_000;
const TOKEN = "bench-admin";
/** They need objects that controllers would make, and no controller runs here. */
const WITHOUT = "ServiceAccount";

/** A real API server on loopback with nothing behind it: objects stay as they are written, no kubelet, no controller. */
export interface ApiServer {
  readonly host: string;
  readonly port: number;
  /** PEM. */
  readonly ca: string;
  /** Of a user who may do everything. */
  readonly client: KubeClient;
  /** How many requests it has answered, by `verb resource/subresource`, such as `APPLY pods/status`. */
  requests(): Promise<ReadonlyMap<string, number>>;
  /** For files of those who use it; removed at the end. */
  readonly folder: string;
  stop(): Promise<void>;
}

/** Starts etcd and kube-apiserver, building them first where they are missing (about 5 minutes, once). */
export async function startApiServer(log: (line: string) => void): Promise<ApiServer> {
  const shop = workshop(log);
  const programs = {
    apiServer: join(await goPrograms(shop, "kubernetes"), "kube-apiserver"),
    etcd: join(await goPrograms(shop, "etcd"), "etcd"),
  };
  const folder = await mkdtemp(join(tmpdir(), "signet-bench-"));
  const running: Program[] = [];
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", removeFolder);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  const stop = async (): Promise<void> => {
    for (const program of running.toReversed()) await program.stop();
    removeFolder();
  };
  try {
    const etcd = await startEtcd(programs.etcd, folder);
    running.push(etcd.program);
    const server = await startServer(programs.apiServer, { folder, etcd: etcd.url });
    running.push(server.program);
    const { host, port, ca } = server;
    const clock = systemClock();
    const client = createKubeClient({
      config: {
        server: `https://${host}:${port}`,
        ca: () => ca,
        token: () => TOKEN,
        namespace: "default",
      },
      clock,
    });
    await untilAnswers(client, running);
    const requests = (): Promise<Map<string, number>> => countRequests(server);
    return { host, port, ca, client, requests, folder, stop: () => client.close().then(stop) };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilAnswers(client: KubeClient, running: readonly Program[]): Promise<void> {
  const signal = AbortSignal.timeout(START_MS);
  for (;;) {
    for (const program of running) program.check();
    // The last of what the API server makes for itself when it starts.
    const answer = await client
      .raw("/api/v1/namespaces/default", { signal })
      .catch(() => undefined);
    if (answer !== undefined) return;
    if (signal.aborted) throw new Error(`the API server does not answer within ${START_MS} ms`);
    await setTimeout(100);
  }
}

async function countRequests({
  host,
  port,
  ca,
}: Pick<ApiServer, "host" | "port" | "ca">): Promise<Map<string, number>> {
  const dispatcher = new Agent({ connect: { ca } });
  const headers = { authorization: `Bearer ${TOKEN}` };
  const answer = await request(`https://${host}:${port}/metrics`, { dispatcher, headers });
  const text = await answer.body.text();
  await dispatcher.close();
  const counts = new Map<string, number>();
  for (const [, labels = "", value] of text.matchAll(/^apiserver_request_total\{(.*)\} (\S+)$/gm)) {
    const label = (name: string): string =>
      new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1] ?? "";
    const subresource = label("subresource");
    const what = subresource === "" ? label("resource") : `${label("resource")}/${subresource}`;
    const key = `${label("verb")} ${what}`;
    counts.set(key, (counts.get(key) ?? 0) + Number(value));
  }
  return counts;
}

async function startEtcd(
  path: string,
  folder: string,
): Promise<{ readonly program: Program; readonly url: string }> {
  const [url, peer] = [
    `http://127.0.0.1:${await freePort()}`,
    `http://127.0.0.1:${await freePort()}`,
  ];
  const program = startProgram({
    name: "etcd",
    argv: [
      path,
      `--data-dir=${join(folder, "etcd")}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      "--unsafe-no-fsync",
      "--log-level=error",
    ],
    logFile: join(folder, "etcd.log"),
  });
  return { program, url };
}

async function startServer(
  path: string,
  { folder, etcd }: { readonly folder: string; readonly etcd: string },
): Promise<Pick<ApiServer, "host" | "port" | "ca"> & { readonly program: Program }> {
  const host = "127.0.0.1";
  const port = await freePort();
  const file = (name: string): string => join(folder, name);
  const { ca, cert, key } = await makeServerCertificate();
  const accounts = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(file("server.crt"), cert);
  await writeFile(file("server.key"), key, { mode: 0o600 });
  const signingKey = accounts.privateKey.export({ type: "sec1", format: "pem" });
  await writeFile(file("accounts.key"), signingKey, { mode: 0o600 });
  const publicKey = accounts.publicKey.export({ type: "spki", format: "pem" });
  await writeFile(file("accounts.pub"), publicKey);
  await writeFile(file("tokens.csv"), `${TOKEN},bench,bench,system:masters\n`, { mode: 0o600 });
  const program = startProgram({
    name: "kube-apiserver",
    argv: [
      path,
      `--etcd-servers=${etcd}`,
      `--bind-address=${host}`,
      `--secure-port=${port}`,
      `--tls-cert-file=${file("server.crt")}`,
      `--tls-private-key-file=${file("server.key")}`,
      `--token-auth-file=${file("tokens.csv")}`,
      "--authorization-mode=AlwaysAllow",
      `--disable-admission-plugins=${WITHOUT}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${file("accounts.pub")}`,
      `--service-account-signing-key-file=${file("accounts.key")}`,
      "--service-cluster-ip-range=10.96.0.0/16",
      "--endpoint-reconciler-type=none",
    ],
    logFile: file("kube-apiserver.log"),
  });
  return { host, port, ca, program };
}
