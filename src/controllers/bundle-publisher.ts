import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { CONFIG_MAPS } from "../kube/resources.ts";
import type { ObjectKey } from "../kube/resources.ts";
import type { ConfigMap, NewObject, OwnerReference } from "../kube/types.ts";
import { bundleDocument, bundlePem } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { followLive } from "./follow.ts";

/** Also written again this often, so that a bundle someone edited or deleted comes back. */
const REPUBLISH_MS = 30_000;

export interface BundlePublisherDeps {
  readonly client: KubeClient;
  readonly key: ObjectKey;
  /** Who takes the ConfigMap along when the chart is uninstalled. */
  readonly owner: OwnerReference | undefined;
  readonly bundle: Live<Bundle>;
  readonly clock: Clock;
  readonly log: Log;
}

/** The leader's part: keeps the ConfigMap with the trust bundle true until `signal` aborts. */
export async function publishBundle(deps: BundlePublisherDeps, signal: AbortSignal): Promise<void> {
  await followLive(
    deps.bundle,
    { clock: deps.clock, everyMs: REPUBLISH_MS, signal },
    async (bundle) => {
      try {
        await deps.client.apply<ConfigMap>(CONFIG_MAPS, bundleConfigMap(bundle, deps), {
          fieldManager: "signet-bundle",
          force: true,
        });
        return true;
      } catch (error) {
        deps.log.error({ error: errorMessage(error) }, "the trust bundle could not be published");
        return false;
      }
    },
  );
}

/** The ConfigMap for a bundle: the SPIFFE bundle document, and PEM for everyone else. */
export function bundleConfigMap(
  bundle: Bundle,
  { key, owner }: Pick<BundlePublisherDeps, "key" | "owner">,
): NewObject<ConfigMap> {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: {
      name: key.name,
      ...(key.namespace === undefined ? {} : { namespace: key.namespace }),
      labels: { "app.kubernetes.io/name": "signet", "app.kubernetes.io/component": "bundle" },
      ...(owner ? { ownerReferences: [owner] } : {}),
    },
    data: { "bundle.json": bundleDocument(bundle), "bundle.pem": bundlePem(bundle) },
  };
}
