import { randomUUID } from "node:crypto";
import { publishBundle } from "../controllers/bundle-publisher.ts";
import { writeStatuses } from "../controllers/status.ts";
import { keepCaBundle } from "../controllers/webhook-configuration.ts";
import { errorMessage } from "../core/errors.ts";
import type { Service } from "../core/lifecycle.ts";
import { startLeaderElection } from "../kube/leader.ts";
import type { LeaderElection } from "../kube/leader.ts";
import type { EventRecorder } from "../kube/events.ts";
import { DEPLOYMENTS } from "../kube/resources.ts";
import type { KubeObject, OwnerReference } from "../kube/types.ts";
import type { OperatorContext } from "./operator.ts";
import type { Trust } from "./operator-trust.ts";

/** What only the holder of the Lease does: rotate the CA, publish the bundle, write statuses. */
export function leaderService(context: OperatorContext, trust: Trust): Service {
  const { client, clock, random, namespace, podName, config, metrics } = context;
  const log = context.log.child({ component: "leader" });
  let leading = 0;
  let election: LeaderElection | undefined;
  metrics.gauge("signet_leader", "1 on the replica that leads.", () => leading);
  return {
    name: "leader election",
    async start() {
      const owner = await findOwner(context);
      election = startLeaderElection({
        client,
        namespace,
        name: config.operator.leaseName,
        // Unlike that of this pod before its container restarted: a lost lease is not ours again by name.
        identity: `${podName}_${randomUUID()}`,
        ...(owner ? { ownerReferences: [owner] } : {}),
        onStartedLeading: async (signal) => {
          leading = 1;
          await lead(context, trust, { owner, signal }).finally(() => (leading = 0));
        },
        clock,
        random,
        log,
      });
    },
    stop: () => election?.stop() ?? Promise.resolve(),
  };
}

async function lead(
  context: OperatorContext,
  trust: Trust,
  { owner, signal }: { owner: OwnerReference | undefined; signal: AbortSignal },
): Promise<void> {
  const { client, clock, random, registry, namespace, config } = context;
  const log = context.log.child({ component: "leader" });
  const tell: EventRecorder["record"] = (subject, note) => context.events.record(subject, note);
  const bundle = trust.bundle();
  const key = { namespace, name: config.operator.bundleConfigMapName };
  const name = config.operator.webhookConfigurationName;
  await Promise.all([
    trust.ca().rotate(signal),
    publishBundle({ client, key, owner, bundle, clock, log }, signal),
    keepCaBundle({ client, name, bundle, clock, log }, signal),
    writeStatuses({ client, registry, clock, random, tell, log }, signal),
  ]);
}

/** The Deployment we run in: it owns what we make for ourselves, so that uninstalling leaves nothing behind. */
async function findOwner(context: OperatorContext): Promise<OwnerReference | undefined> {
  const { client, namespace, config, log } = context;
  const name = config.operator.deploymentName;
  try {
    const { metadata } = await client.get<KubeObject>(DEPLOYMENTS, { namespace, name });
    return { apiVersion: "apps/v1", kind: "Deployment", name, uid: metadata.uid };
  } catch (error) {
    log.warn(
      { deployment: name, error: errorMessage(error) },
      "own Deployment not found: what the operator makes will outlive it",
    );
    return undefined;
  }
}
