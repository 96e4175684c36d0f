import { createAgent } from "../agent/agent.ts";
import { probe, servePlain } from "../core/http.ts";
import type { PlainServer } from "../core/http.ts";
import { serviceGroup } from "../core/lifecycle.ts";
import type { Service, ServiceGroup } from "../core/lifecycle.ts";
import { createMetrics } from "../core/metrics.ts";
import type { Metrics } from "../core/metrics.ts";
import { createCsiDriver } from "../csi/driver.ts";
import type { CsiDriver } from "../csi/driver.ts";
import { createMounter } from "../csi/mount.ts";
import type { Agent } from "../agent/agent.ts";
import { jwtSvidValidator } from "../workload-api/jwt-validation.ts";
import { agentCounters, agentGauges } from "./agent-metrics.ts";
import { createEndpoints } from "../workload-api/endpoints.ts";
import { secretDiscovery } from "../workload-api/sds.ts";
import { requireEnv } from "./process.ts";
import type { Process } from "./process.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";

/** Composes the role that runs on every node: CSI driver, link to the operator, renewals. */
export function agent(context: Process): ServiceGroup {
  let group: ServiceGroup | undefined;
  return {
    async start() {
      group = await compose(context);
      await group.start();
    },
    stop: () => group?.stop() ?? Promise.resolve(),
  };
}

async function compose(context: Process): Promise<ServiceGroup> {
  const { config, version, clock, random, log } = context;
  const nodeName = requireEnv(context, "NODE_NAME");
  const metrics = createMetrics();
  const identities = createAgent({
    config: config.agent,
    trustDomain: parseTrustDomain(config.trustDomain),
    version,
    sink: () => driver.sink,
    verifyJwt: jwtSvidValidator(),
    count: agentCounters(metrics),
    clock,
    random,
    log: log.child({ component: "agent" }),
  });
  const apiLog = log.child({ component: "workload-api" });
  const { svidName, bundleName, allBundlesName, disableSpiffeValidator } = config.agent.sds;
  const names = { svid: svidName, bundle: bundleName, allBundles: allBundlesName };
  const services = [
    secretDiscovery({
      names,
      disableSpiffeCertValidation: disableSpiffeValidator,
      clock,
      log: apiLog,
    }),
  ];
  const endpoints = createEndpoints({ services, clock, log: apiLog });
  const driver = createCsiDriver({
    config: config.agent,
    nodeName,
    version,
    audience: config.audience,
    identities: () => identities.identities,
    sockets: {
      open: (id, directory) => endpoints.open(id, directory, identities.source(id)),
      close: (id) => endpoints.close(id),
      stop: () => endpoints.stop(),
    },
    mounter: await createMounter(),
    clock,
    log: log.child({ component: "csi" }),
    onRefused: (error) => context.fail(error),
  });
  const following: Service = {
    name: "agent",
    start: async () => identities.start(),
    stop: () => identities.stop(),
  };
  agentGauges(metrics, { identities, endpoints });
  metrics.gauge(
    "signet_agent_volumes_abnormal",
    "Volumes that something is wrong with: their mount, SVID or socket.",
    () => driver.summary().abnormal,
  );
  const health = healthService(config.agent.healthPort, { identities, driver, metrics });
  return serviceGroup([health, driver, following], log);
}

interface HealthParts {
  readonly identities: Agent;
  readonly driver: CsiDriver;
  readonly metrics: Metrics;
}

function healthService(port: number, { identities, driver, metrics }: HealthParts): Service {
  let server: PlainServer | undefined;
  return {
    name: "health",
    async start() {
      server = await servePlain(port, {
        "/healthz": probe(() => []),
        "/readyz": probe(() => [
          ...(driver.registered() || driver.standby() ? [] : ["registration with kubelet"]),
          ...(identities.status().bundleLoaded ? [] : ["trust bundle"]),
        ]),
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
