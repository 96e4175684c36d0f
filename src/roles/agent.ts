import { createAgent } from "../agent/agent.ts";
import { probe, servePlain } from "../core/http.ts";
import type { PlainServer } from "../core/http.ts";
import { serviceGroup } from "../core/lifecycle.ts";
import type { Service, ServiceGroup } from "../core/lifecycle.ts";
import { createMetrics } from "../core/metrics.ts";
import { createCsiDriver } from "../csi/driver.ts";
import type { CsiDriver } from "../csi/driver.ts";
import { createMounter } from "../csi/mount.ts";
import type { Agent } from "../agent/agent.ts";
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
  const identities = createAgent({
    config: config.agent,
    trustDomain: parseTrustDomain(config.trustDomain),
    version,
    sink: () => driver.sink,
    clock,
    random,
    log: log.child({ component: "agent" }),
  });
  const driver = createCsiDriver({
    config: config.agent,
    nodeName,
    version,
    audience: config.audience,
    identities: () => identities.identities,
    sockets: { open: () => Promise.resolve(), close: () => Promise.resolve() },
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
  const health = healthService(config.agent.healthPort, { identities, driver });
  return serviceGroup([health, driver, following], log);
}

function healthService(port: number, parts: { identities: Agent; driver: CsiDriver }): Service {
  const { identities, driver } = parts;
  const metrics = createMetrics();
  metrics.gauge(
    "signet_agent_volumes",
    "Volumes that the agent keeps fresh.",
    () => identities.status().volumes,
  );
  metrics.gauge("signet_agent_connected", "1 while a session with an operator runs.", () =>
    Number(identities.status().connected),
  );
  let server: PlainServer | undefined;
  return {
    name: "health",
    async start() {
      server = await servePlain(port, {
        "/healthz": probe(() => []),
        "/readyz": probe(() => [
          ...(driver.registered() ? [] : ["registration with kubelet"]),
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
