import { isSignetError } from "../core/errors.ts";
import type { KubeClient } from "../kube/client.ts";
import { PODS } from "../kube/resources.ts";
import type { Pod } from "../kube/types.ts";
import type { PodObject } from "../registration/index.ts";

/** The whole pod from the API server, past the cache; undefined when there is none. Throws as the client does. */
export async function fetchPod(
  client: KubeClient,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal?: AbortSignal,
): Promise<PodObject | undefined> {
  try {
    return await client.get<Pod>(PODS, { namespace, name }, signal ? { signal } : {});
  } catch (error) {
    if (isSignetError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}
