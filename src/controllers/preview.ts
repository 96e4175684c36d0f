import type { KubeClient } from "../kube/client.ts";
import type {
  DraftResource,
  Preview,
  RegistrationIndex,
  SourceKind,
} from "../registration/index.ts";
import { fetchPod } from "./fetch-pod.ts";
import type { PodWatch } from "./pod-watch.ts";

/** Enough to see what is wrong, in a few milliseconds. */
const MAX_TRIED = 1000;
const MAX_SHOWN = 20;
/** Pods that are asked for whole when the cache lacks what the templates name. */
const MAX_FETCHED = 10;

export interface PreviewDeps {
  readonly client: KubeClient;
  readonly index: RegistrationIndex;
  readonly pods: PodWatch;
  readonly signal: AbortSignal | undefined;
}

/**
 * What a custom resource would give the live pods if it were applied now. Where its templates name fields that no
 * other rule does, a sample of pods is read from the API server; throws as that does.
 */
export async function previewLive(
  kind: SourceKind,
  object: DraftResource,
  { client, index, pods, signal }: PreviewDeps,
): Promise<Preview> {
  const scope = { maxTried: MAX_TRIED, maxShown: MAX_SHOWN };
  const cached = index.preview(kind, object, scope);
  if (cached.problems.length > 0 || pods.has(index.readsOf(kind, object))) return cached;
  const sample = cached.pods.slice(0, MAX_FETCHED).map(({ pod }) => pod.split("/"));
  const fetched = await Promise.all(
    sample.map(([namespace = "", name = ""]) => fetchPod(client, { namespace, name }, signal)),
  );
  const whole = new Map(fetched.flatMap((pod) => (pod ? [[pod.metadata.uid, pod] as const] : [])));
  return index.preview(kind, object, { ...scope, pods: whole });
}
