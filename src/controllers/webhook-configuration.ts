import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { JsonPatchOperation, KubeClient } from "../kube/client.ts";
import {
  MUTATING_WEBHOOK_CONFIGURATIONS,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
} from "../kube/resources.ts";
import type { Resource } from "../kube/resources.ts";
import type { KubeObject } from "../kube/types.ts";
import { bundlePem } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { followLive } from "./follow.ts";

/** How often the configuration is read again, in case someone reset its caBundle. */
const CHECK_MS = 10_000;

const CONFIGURATIONS: readonly Resource[] = [
  MUTATING_WEBHOOK_CONFIGURATIONS,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
];

interface WebhookConfiguration extends KubeObject {
  webhooks?: { name: string; clientConfig: { caBundle?: string } }[];
}

export interface WebhookConfigurationDeps {
  readonly client: KubeClient;
  /** Of both configurations, the mutating and the validating one. */
  readonly name: string;
  readonly bundle: Live<Bundle>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The leader's part: keeps the webhooks' caBundle equal to the trust bundle until `signal` aborts. */
export async function keepCaBundle(
  deps: WebhookConfigurationDeps,
  signal: AbortSignal,
): Promise<void> {
  const { bundle, clock } = deps;
  await followLive(bundle, { clock, everyMs: CHECK_MS, signal }, async (current) => {
    const set = CONFIGURATIONS.map((resource) => setCaBundle(resource, current, deps));
    return (await Promise.all(set)).every(Boolean);
  });
}

/** Tells whether the configuration now has the bundle, or is not there at all. */
async function setCaBundle(
  resource: Resource,
  bundle: Bundle,
  { client, name, log }: WebhookConfigurationDeps,
): Promise<boolean> {
  const subject = { webhookConfiguration: name, kind: resource.kind };
  try {
    const found = await client.get<WebhookConfiguration>(resource, { name });
    const body = caBundlePatch(found, bundle);
    if (body.length === 0) return true;
    await client.patch(resource, { name }, { patch: { type: "json", body } });
    log.info(subject, "set the webhooks' caBundle");
    return true;
  } catch (error) {
    // Injection and validation can be switched off in the chart; then there is nothing to keep.
    if (isSignetError(error, "NOT_FOUND")) return true;
    log.error({ ...subject, error: errorMessage(error) }, "caBundle not set");
    return false;
  }
}

/** The operations that set the bundle on every webhook that lacks it; each tests that it meets the webhook it means. */
export function caBundlePatch(
  configuration: WebhookConfiguration,
  bundle: Bundle,
): JsonPatchOperation[] {
  const caBundle = Buffer.from(bundlePem(bundle)).toString("base64");
  return (configuration.webhooks ?? []).flatMap((webhook, index) =>
    webhook.clientConfig.caBundle === caBundle
      ? []
      : [
          { op: "test", path: `/webhooks/${index}/name`, value: webhook.name },
          { op: "add", path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
        ],
  );
}
