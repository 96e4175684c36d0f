/**
 * The agent-facing path as a whole: calls per second of Renew and IssueJwt over TLS, with token check, pod check and
 * signing, against the same calls when nothing is signed. Client and server share one process and its core.
 */
import { generateKeyPairSync } from "node:crypto";
import { credentials } from "@grpc/grpc-js";
import { loadX509Authority } from "../src/ca/authority.ts";
import { journalBundle } from "../src/ca/bundle.ts";
import { createX509Issuer } from "../src/ca/issuer.ts";
import { activeAuthority, emptyJournal } from "../src/ca/journal.ts";
import { loadJwtAuthority } from "../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../src/ca/jwt-issuer.ts";
import { rotateJournal } from "../src/ca/rotate.ts";
import { createServingCertificate } from "../src/ca/serving.ts";
import { systemClock } from "../src/core/clock.ts";
import { liveValue } from "../src/core/live.ts";
import { silentLog } from "../src/core/log.ts";
import { bundleEncoder } from "../src/issuer/encode.ts";
import { compileClaims } from "../src/issuer/jwt-claims.ts";
import type { CertificateAuthority, IssuedCertificate, IssuedToken } from "../src/issuer/ports.ts";
import { createIssueLog } from "../src/issuer/issue-log.ts";
import { createIssuerService } from "../src/issuer/service.ts";
import { createSessions } from "../src/issuer/sessions.ts";
import { createTokenVerifier } from "../src/issuer/tokens.ts";
import { createWaitingRoom } from "../src/issuer/waiting-room.ts";
import { rpcClient } from "../src/rpc/client.ts";
import type { RpcClient } from "../src/rpc/client.ts";
import { Issuer } from "../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { addService } from "../src/rpc/server.ts";
import { tlsRpcServer } from "../src/rpc/tls-server.ts";
import { bundlePem } from "../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../src/spiffe/trust-domain.ts";
import { fakeEntry, fakePod, fakeRegistry } from "../test/fakes/registry.ts";
import { fakeTokenIssuer } from "../test/fakes/tokens.ts";
import { median } from "./median.ts";

const PODS = 100;
const IN_FLIGHT = 32;
const SLICE_MS = 1500;
const ROUNDS = 3;

/** Runs the benchmark, about 24 s, and gives its lines. */
export async function run(): Promise<string[]> {
  const bench = await prepare();
  const lines = [...(await measure(bench, "Renew")), ...(await measure(bench, "IssueJwt"))];
  await bench.close();
  return lines;
}

async function measure(bench: Bench, call: keyof typeof CALLS): Promise<string[]> {
  const rates = { signing: [] as number[], empty: [] as number[] };
  await bench.rate(call, true);
  for (let round = 0; round < ROUNDS; round += 1) {
    rates.signing.push(await bench.rate(call, true));
    rates.empty.push(await bench.rate(call, false));
  }
  const [signing, empty] = [median(rates.signing), median(rates.empty)];
  return [
    `${call} over gRPC and TLS, ${IN_FLIGHT} in flight, client and server in one process (median of ${ROUNDS} × ${SLICE_MS} ms)`,
    `  with signing     ${Math.round(signing)}/s`,
    `  without signing  ${Math.round(empty)}/s`,
    `  signing costs    ${(1000 / signing - 1000 / empty).toFixed(3)} ms of ${(1000 / signing).toFixed(3)} ms a call`,
  ];
}

interface Bench {
  rate(call: keyof typeof CALLS, signing: boolean): Promise<number>;
  close(): Promise<void>;
}

async function prepare(): Promise<Bench> {
  const clock = systemClock();
  const trustDomain = parseTrustDomain("example.org");
  const { journal } = await rotateJournal(emptyJournal(trustDomain), clock.now(), {
    ttlMs: 86_400_000,
    jwt: { algorithm: "ES256", ttlMs: 86_400_000 },
  });
  const record = activeAuthority(journal, "x509");
  const jwtRecord = activeAuthority(journal, "jwt");
  if (!record || !jwtRecord) throw new Error("no active authority");
  const issuer = createX509Issuer(loadX509Authority(record, trustDomain));
  const iss = { trustDomain, issuer: `spiffe://${trustDomain}` };
  const jwtIssuer = createJwtIssuer(loadJwtAuthority(jwtRecord), iss);
  const bundle = journalBundle(journal, 300);
  const signing: CertificateAuthority = {
    bundle,
    issue: (request) => issuer.issue(request),
    issueJwt: (request) => jwtIssuer.issue(request),
  };
  const nothing: IssuedCertificate = { chain: [Buffer.alloc(600)], notBefore: 0, notAfter: 0 };
  const noToken: IssuedToken = { token: "a".repeat(500), issuedAt: 0, expiresAt: 0 };
  const empty: CertificateAuthority = {
    bundle,
    issue: async () => nothing,
    issueJwt: async () => noToken,
  };
  const encodeBundle = bundleEncoder();
  const authority = liveValue(signing);
  const registry = fakeRegistry();
  for (let index = 0; index < PODS; index += 1) {
    const pod = fakePod(`p${index}`);
    registry.setPod(pod);
    registry.setEntries(pod.metadata.uid, [fakeEntry(pod)]);
  }
  registry.setPod({
    ...fakePod("a"),
    metadata: { name: "a", namespace: "signet-system", uid: "uid-a" },
  });
  const api = await fakeTokenIssuer();
  const serving = await createServingCertificate(issuer, {
    dnsNames: ["localhost"],
    ttlMs: 3_600_000,
    now: clock.now(),
  });
  const server = tlsRpcServer(
    liveValue({ key: serving.keyPem, cert: serving.chainPem, notAfter: serving.notAfter }),
  );
  addService(
    server.grpc,
    Issuer,
    createIssuerService({
      registry,
      authority,
      tokens: createTokenVerifier({ audience: "signet", fetchKeys: api.keys, clock }),
      agentAccount: { namespace: "signet-system", serviceAccount: "signet-agent" },
      waitingRoom: createWaitingRoom(registry, clock),
      sessions: createSessions({ registry, bundle: liveValue(bundle), encodeBundle }),
      encodeBundle,
      claims: compileClaims({
        jwtClaims: {},
        trustDomain,
        clusterName: "kind",
        clusterDomain: "cluster.local",
      }),
      defaultJwtTtlMs: 300_000,
      defaultTtlMs: 3_600_000,
      warnPod: () => undefined,
      issues: createIssueLog(registry),
      onIssued: () => undefined,
      clock,
      log: silentLog(),
    }),
  );
  const port = await server.listen(0, "127.0.0.1");
  const client = rpcClient(
    `localhost:${port}`,
    credentials.createSsl(Buffer.from(bundlePem(bundle))),
  );
  const account = {
    namespace: "signet-system",
    serviceAccount: "signet-agent",
    podName: "a",
    podUid: "uid-a",
  };
  const authorization = `Bearer ${await api.sign({ ...account, nodeName: "node-a" })}`;
  return {
    rate(call, sign) {
      authority.set(sign ? signing : empty);
      return callRate(client, CALLS[call], authorization);
    },
    async close() {
      client.close();
      await server.close();
    },
  };
}

const publicKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
  type: "spki",
  format: "der",
});

type Ask = (client: RpcClient, podUid: string, headers: Record<string, string>) => Promise<unknown>;

const CALLS = {
  Renew: (client, podUid, headers) =>
    client.unary(Issuer.method.renew, { podUid, publicKey }, { headers }),
  IssueJwt: (client, podUid, headers) =>
    client.unary(Issuer.method.issueJwt, { podUid, audiences: ["db"] }, { headers }),
} satisfies Readonly<Record<string, Ask>>;

async function callRate(client: RpcClient, ask: Ask, authorization: string): Promise<number> {
  const startedAt = performance.now();
  let calls = 0;
  const work = async (): Promise<void> => {
    while (performance.now() - startedAt < SLICE_MS) {
      const podUid = `uid-p${calls % PODS}`;
      calls += 1;
      await ask(client, podUid, { authorization });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return (calls * 1000) / (performance.now() - startedAt);
}

if (import.meta.main) console.log((await run()).join("\n"));
