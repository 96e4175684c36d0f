import { probe, servePlain } from "../core/http.ts";
import type { PlainServer } from "../core/http.ts";
import { serviceGroup } from "../core/lifecycle.ts";
import type { Service, ServiceGroup } from "../core/lifecycle.ts";
import { createMetrics } from "../core/metrics.ts";
import type { Metrics } from "../core/metrics.ts";
import { startRegistry } from "../controllers/registry.ts";
import type { Registry } from "../controllers/registry.ts";
import { loadInCluster } from "../kube/config.ts";
import { createEventRecorder } from "../kube/events.ts";
import type { EventRecorder } from "../kube/events.ts";
import { inspectServer } from "../inspect/server.ts";
import { createIssueLog } from "../issuer/issue-log.ts";
import type { IssueLog } from "../issuer/issue-log.ts";
import { compileClaims } from "../issuer/jwt-claims.ts";
import type { PodClaims } from "../issuer/jwt-claims.ts";
import { createKubeClient } from "../kube/client.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import { podInjector } from "../webhook/admit.ts";
import { resourceValidator } from "../webhook/validate.ts";
import { webhookServer } from "../webhook/server.ts";
import { issuerService } from "./operator-issuer.ts";
import { leaderService } from "./operator-leader.ts";
import { trustService } from "./operator-trust.ts";
import type { Trust } from "./operator-trust.ts";
import { requireEnv } from "./process.ts";
import type { Process } from "./process.ts";

/** What the operator's services share. */
export interface OperatorContext extends Process {
  readonly client: ReturnType<typeof createKubeClient>;
  readonly namespace: string;
  readonly podName: string;
  readonly registry: Registry;
  readonly events: EventRecorder;
  /** What this replica did last for each pod. */
  readonly issues: IssueLog;
  readonly metrics: Metrics;
  /** What a pod's JWT-SVIDs say beside the registered claims. */
  readonly claims: PodClaims;
}

/**
 * Composes the role that computes entries, signs, admits and, on one replica, publishes. Throws INVALID_ARGUMENT
 * for a configuration that cannot be used.
 */
export function operator(process: Process): ServiceGroup {
  const context = shared(process);
  const { client, log, registry } = context;
  const trust = trustService(context);
  const missing: string[] = ["start"];
  const synced: Service = {
    name: "registration",
    start: () => registry.synced,
    stop: () => registry.stop(),
  };
  const ready: Service = {
    name: "readiness",
    async start() {
      missing.length = 0;
    },
    async stop() {
      missing.push("stopping");
    },
  };
  return serviceGroup(
    [
      { name: "client", start: async () => undefined, stop: () => client.close() },
      health(context, () => missing),
      trust,
      synced,
      webhook(context, trust),
      issuerService(context, trust),
      inspect(context),
      leaderService(context, trust),
      ready,
    ],
    log,
  );
}

function shared(process: Process): OperatorContext {
  const { config, clock, log, random } = process;
  const claims = compileClaims({ ...config, ...config.operator });
  const kube = loadInCluster({ env: process.env, readFile: process.readFile, clock });
  const client = createKubeClient({ config: kube, clock, userAgent: `signet/${process.version}` });
  const registry = startRegistry({
    client,
    options: {
      ...config,
      ...config.operator,
      agentNamespace: kube.namespace,
      agentServiceAccount: config.operator.agentServiceAccount,
      // Our own pods come before any identity: they must never wait for one.
      ignoreNamespaces: [...config.operator.ignoreNamespaces, `^${kube.namespace}$`],
    },
    clock,
    random,
    log: log.child({ component: "registration" }),
  });
  const podName = requireEnv(process, "POD_NAME");
  return {
    ...process,
    client,
    namespace: kube.namespace,
    podName,
    registry,
    events: createEventRecorder({ client, component: "signet", instance: podName, clock, log }),
    issues: createIssueLog(registry),
    metrics: createMetrics(),
    claims,
  };
}

function webhook({ config, registry, clock, log }: OperatorContext, trust: Trust): Service {
  const webhookLog = log.child({ component: "webhook" });
  return webhookServer({
    port: config.operator.webhookPort,
    // The CA opens when the services start, which is after they are composed.
    tls: {
      get: () => trust.material().get(),
      subscribe: (listener) => trust.material().subscribe(listener),
    },
    admitters: {
      "/mutate": podInjector({ driverName: config.agent.driverName }),
      "/validate": resourceValidator({ previewer: registry, clock, log: webhookLog }),
    },
    log: webhookLog,
  });
}

/** What `kubectl signet` asks, by way of a port-forward. */
function inspect({ config, version, registry, issues, log }: OperatorContext): Service {
  return inspectServer({
    port: config.operator.inspectPort,
    version,
    trustDomain: parseTrustDomain(config.trustDomain),
    registry,
    issues,
    defaultX509SvidTtl: config.operator.x509SvidTtl / 1000,
    log: log.child({ component: "inspect" }),
  });
}

function health({ config, metrics }: OperatorContext, missing: () => readonly string[]): Service {
  let server: PlainServer | undefined;
  return {
    name: "health",
    async start() {
      server = await servePlain(config.operator.healthPort, {
        "/healthz": probe(() => []),
        "/readyz": probe(missing),
        "/metrics": async () => ({
          status: 200,
          body: await metrics.text(),
          contentType: metrics.contentType,
        }),
      });
    },
    stop: () => server?.close() ?? Promise.resolve(),
  };
}
