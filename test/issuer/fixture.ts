import { generateKeyPairSync } from "node:crypto";
import { credentials } from "@grpc/grpc-js";
import { loadX509Authority } from "../../src/ca/authority.ts";
import { journalBundle } from "../../src/ca/bundle.ts";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { activeAuthority, emptyJournal } from "../../src/ca/journal.ts";
import { loadJwtAuthority } from "../../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../../src/ca/jwt-issuer.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { createServingCertificate } from "../../src/ca/serving.ts";
import { systemClock } from "../../src/core/clock.ts";
import { liveValue } from "../../src/core/live.ts";
import type { LiveSource } from "../../src/core/live.ts";
import type { IssueCall } from "../../src/inspect/ports.ts";
import { bundleEncoder } from "../../src/issuer/encode.ts";
import { createIssueLog } from "../../src/issuer/issue-log.ts";
import type { IssueLog } from "../../src/issuer/issue-log.ts";
import { compileClaims } from "../../src/issuer/jwt-claims.ts";
import type { CertificateAuthority } from "../../src/issuer/ports.ts";
import { createIssuerService } from "../../src/issuer/service.ts";
import { createSessions } from "../../src/issuer/sessions.ts";
import type { Sessions } from "../../src/issuer/sessions.ts";
import { createTokenVerifier } from "../../src/issuer/tokens.ts";
import { createWaitingRoom } from "../../src/issuer/waiting-room.ts";
import type { WaitingRoom } from "../../src/issuer/waiting-room.ts";
import type { PodObject } from "../../src/registration/objects.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { addService } from "../../src/rpc/server.ts";
import { tlsRpcServer } from "../../src/rpc/tls-server.ts";
import { bundlePem } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { recordingLog } from "../csi/fixtures.ts";
import { fakeRegistry } from "../fakes/registry.ts";
import type { FakeRegistry } from "../fakes/registry.ts";
import { fakeTokenIssuer } from "../fakes/tokens.ts";
import type { FakeTokenIssuer, TokenFacts } from "../fakes/tokens.ts";

export const publicKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
  type: "spki",
  format: "der",
});
export const AGENT: TokenFacts = {
  namespace: "signet-system",
  serviceAccount: "signet-agent",
  podName: "agent-a",
  podUid: "uid-agent-a",
  nodeName: "node-a",
};

export function agentPod(nodeName = "node-a"): PodObject {
  return {
    metadata: { name: "agent-a", namespace: "signet-system", uid: "uid-agent-a" },
    spec: { nodeName, serviceAccountName: "signet-agent" },
    status: { phase: "Running" },
  };
}

/** An issuer on a real socket over a registry that is told what it holds, with a client. */
export interface OpenIssuer {
  readonly registry: FakeRegistry;
  readonly api: FakeTokenIssuer;
  readonly client: RpcClient;
  readonly waitingRoom: WaitingRoom;
  readonly sessions: Sessions;
  readonly authority: LiveSource<CertificateAuthority>;
  readonly warnings: string[];
  readonly issues: IssueLog;
  readonly log: ReturnType<typeof recordingLog>;
  readonly counted: { readonly call: IssueCall; readonly count: number }[];
  readonly agentHeader: Record<string, string>;
  close(): Promise<void>;
}

const TRUST_DOMAIN = parseTrustDomain("example.org");

/** Opens it, with the agent of node-a known; `jwtClaims` are declared claims. */
export async function openIssuer(
  jwtClaims: Readonly<Record<string, string>> = {},
): Promise<OpenIssuer> {
  const registry = fakeRegistry();
  registry.setPod(agentPod());
  const api = await fakeTokenIssuer();
  const clock = systemClock();
  const issues = createIssueLog(registry);
  const { authority, bundles, serving } = await openAuthority(clock.now());
  const waitingRoom = createWaitingRoom(registry, clock);
  const encodeBundle = bundleEncoder();
  const sessions = createSessions({ registry, bundle: bundles, encodeBundle });
  const server = tlsRpcServer(
    liveValue({ key: serving.keyPem, cert: serving.chainPem, notAfter: serving.notAfter }),
  );
  const warnings: string[] = [];
  const counted: { call: IssueCall; count: number }[] = [];
  const log = recordingLog();
  const service = createIssuerService({
    registry,
    authority,
    tokens: createTokenVerifier({ audience: "signet", fetchKeys: api.keys, clock }),
    agentAccount: { namespace: "signet-system", serviceAccount: "signet-agent" },
    waitingRoom,
    sessions,
    encodeBundle,
    defaultTtlMs: 3_600_000,
    defaultJwtTtlMs: 300_000,
    claims: compileClaims({
      jwtClaims,
      trustDomain: TRUST_DOMAIN,
      clusterName: "kind",
      clusterDomain: "cluster.local",
    }),
    warnPod: (pod, reason, message) => warnings.push(`${pod.metadata.name} ${reason} ${message}`),
    onIssued: (call, count) => counted.push({ call, count }),
    issues,
    clock,
    log,
  });
  addService(server.grpc, Issuer, service);
  const port = await server.listen(0, "127.0.0.1");
  const root = Buffer.from(bundlePem(authority.get().bundle));
  const client = rpcClient(`localhost:${port}`, credentials.createSsl(root));
  const agentHeader = { authorization: `Bearer ${await api.sign(AGENT)}` };
  return {
    ...{ registry, api, client, waitingRoom, sessions, authority, warnings, issues, log, counted },
    agentHeader,
    async close() {
      client.close();
      waitingRoom.close();
      sessions.close();
      await server.close();
    },
  };
}

async function openAuthority(now: number) {
  const { journal } = await rotateJournal(emptyJournal(TRUST_DOMAIN), now, {
    ttlMs: 3_600_000,
    jwt: { algorithm: "ES256", ttlMs: 3_600_000 },
  });
  const x509 = activeAuthority(journal, "x509");
  const jwt = activeAuthority(journal, "jwt");
  if (!x509 || !jwt) throw new Error("no active authority");
  const issuer = createX509Issuer(loadX509Authority(x509, TRUST_DOMAIN));
  const jwtIssuer = createJwtIssuer(loadJwtAuthority(jwt), {
    trustDomain: TRUST_DOMAIN,
    issuer: "spiffe://example.org",
  });
  const bundle = journalBundle(journal, 300);
  const authority = liveValue<CertificateAuthority>({
    bundle,
    issue: (request) => issuer.issue(request),
    issueJwt: (request) => jwtIssuer.issue(request),
  });
  const bundles = liveValue(bundle);
  authority.subscribe((next) => bundles.set(next.bundle));
  const dnsNames = ["localhost"];
  const serving = await createServingCertificate(issuer, { dnsNames, ttlMs: 600_000, now });
  return { authority, bundles, serving };
}
