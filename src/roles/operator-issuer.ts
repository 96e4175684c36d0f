import { z } from "zod";
import { liveValue } from "../core/live.ts";
import type { Live } from "../core/live.ts";
import type { Service } from "../core/lifecycle.ts";
import { ERROR_CODES, errorMessage, toSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { CertificateAuthority } from "../issuer/ports.ts";
import { deliverable } from "../issuer/deliverable.ts";
import { bundleEncoder } from "../issuer/encode.ts";
import { createIssuerService } from "../issuer/service.ts";
import type { IssuerDeps } from "../issuer/service.ts";
import { createSessions } from "../issuer/sessions.ts";
import type { Sessions } from "../issuer/sessions.ts";
import { createTokenVerifier } from "../issuer/tokens.ts";
import type { SigningKeys } from "../issuer/tokens.ts";
import { createWaitingRoom } from "../issuer/waiting-room.ts";
import type { WaitingRoom } from "../issuer/waiting-room.ts";
import type { KubeClient } from "../kube/client.ts";
import { Issuer } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import { addService } from "../rpc/server.ts";
import { tlsRpcServer } from "../rpc/tls-server.ts";
import type { TlsRpcServer } from "../rpc/tls-server.ts";
import type { OperatorContext } from "./operator.ts";
import type { Trust } from "./operator-trust.ts";

interface Running {
  readonly server: TlsRpcServer;
  readonly sessions: Sessions;
  readonly waitingRoom: WaitingRoom;
}

/** The agent-facing server: listens once the CA and the registry are true. */
export function issuerService(context: OperatorContext, trust: Trust): Service {
  let running: Running | undefined;
  context.metrics.gauge(
    "signet_issuer_sessions",
    "Agents that are connected to this replica.",
    () => (running === undefined ? 0 : running.sessions.size),
  );
  return {
    name: "issuer",
    async start() {
      running = serve(context, trust);
      await running.server.listen(context.config.operator.issuerPort);
    },
    async stop() {
      running?.waitingRoom.close();
      running?.sessions.close();
      await running?.server.close();
    },
  };
}

function serve(context: OperatorContext, trust: Trust): Running {
  const { config, clock, client, namespace } = context;
  const registry = deliverable(context.registry);
  const log = context.log.child({ component: "issuer" });
  const encodeBundle = bundleEncoder();
  const waitingRoom = createWaitingRoom(registry, clock);
  const sessions = createSessions({ registry, bundle: trust.bundle(), encodeBundle });
  const service = createIssuerService({
    registry,
    issues: context.issues,
    authority: authorityOf(trust),
    tokens: createTokenVerifier({
      audience: config.audience,
      fetchKeys: () => fetchSigningKeys(client),
      clock,
    }),
    agentAccount: { namespace, serviceAccount: config.operator.agentServiceAccount },
    waitingRoom,
    sessions,
    encodeBundle,
    claims: context.claims,
    defaultTtlMs: config.operator.x509SvidTtl,
    defaultJwtTtlMs: config.operator.jwtSvidTtl,
    warnPod: podWarner(context),
    onIssued: issueMetrics(context),
    clock,
    log,
  });
  const server = tlsRpcServer(trust.material());
  addService(server.grpc, Issuer, service, refusalLogger(context, log));
  return { server, sessions, waitingRoom };
}

function authorityOf(trust: Trust): Live<CertificateAuthority> {
  const { state } = trust.ca();
  const authority = liveValue<CertificateAuthority>(state.get());
  state.subscribe((next) => authority.set(next));
  return authority;
}

const discoverySchema = z.object({ issuer: z.string().min(1) });
const jwksSchema = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

/** The API server's own token issuer and keys; any service account may read them. */
async function fetchSigningKeys(client: KubeClient): Promise<SigningKeys> {
  const [discovery, jwks] = await Promise.all([
    client.raw("/.well-known/openid-configuration"),
    client.raw("/openid/v1/jwks"),
  ]);
  return { issuer: discoverySchema.parse(discovery).issuer, jwks: jwksSchema.parse(jwks) };
}

function podWarner({ events }: OperatorContext): IssuerDeps["warnPod"] {
  return ({ metadata }, reason, message) => {
    const { name, namespace = "", uid } = metadata;
    events.record(
      { apiVersion: "v1", kind: "Pod", name, namespace, uid },
      { type: "Warning", reason, message },
    );
  };
}

function issueMetrics({ metrics }: OperatorContext): IssuerDeps["onIssued"] {
  const issued = metrics.counter("signet_issuer_x509_svids_total", "X509-SVIDs issued.", ["call"]);
  const jwtIssued = metrics.counter("signet_issuer_jwt_svids_total", "JWT-SVIDs issued.", []);
  const seconds = metrics.histogram(
    "signet_issuer_seconds",
    "From an agent's call to its answer, waiting for an identity included.",
    ["call"],
  );
  return (call, count, ms) => {
    if (call === "issueJwt") jwtIssued.inc({}, count);
    else issued.inc({ call }, count);
    seconds.observe({ call }, ms / 1000);
  };
}

function refusalLogger(
  { metrics }: OperatorContext,
  log: Log,
): (method: string, error: unknown) => void {
  const refused = metrics.counter("signet_issuer_refusals_total", "Calls that failed, by code.", [
    "code",
  ]);
  return (method, error) => {
    const { code } = toSignetError(error);
    refused.inc({ code });
    if (code === "CANCELLED") return;
    const fields = { method, code, error: errorMessage(error), cause: causeOf(error) };
    if (ERROR_CODES[code].http === 500) log.error({ ...fields, err: error }, "call failed");
    else log.info(fields, "call refused");
  };
}

function causeOf(error: unknown): string | undefined {
  return error instanceof Error && error.cause !== undefined
    ? errorMessage(error.cause)
    : undefined;
}
