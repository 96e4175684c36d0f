import { openChannel } from "../src/agent/channel.ts";
import type { OpenChannel } from "../src/agent/channel.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { PODS } from "../src/kube/resources.ts";
import type { Pod } from "../src/kube/types.ts";
import { Issuer } from "../src/rpc/gen/signet/agent/v1/agent_pb.js";
import type { NodeUpdate } from "../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { parsePem } from "../src/spiffe/pem.ts";
import { parseTrustDomain } from "../src/spiffe/trust-domain.ts";
import { agentToken, OPERATOR_NAMESPACE, TRUST_DOMAIN } from "./registration-operator.ts";
import type { Operator } from "./registration-operator.ts";

/** The sessions of all nodes' agents with the operator. */
export interface Agents {
  /**
   * Resolves, once that many different pods were told of since this was called, with the moment
   * (performance.now) of the last of them. Rejects after five minutes.
   */
  told(pods: number): Promise<number>;
  close(): void;
}

interface Waiting {
  readonly pods: Set<string>;
  readonly wanted: number;
  readonly done: PromiseWithResolvers<number>;
}

const TOLD_MS = 300_000;

/** Makes the agents' pods, one on each node. */
export async function createAgentPods(
  client: KubeClient,
  nodes: readonly string[],
): Promise<Pod[]> {
  return Promise.all(nodes.map((node, index) => client.create<Pod>(PODS, agentPod(node, index))));
}

/** Connects as the agent of every node, and waits until each was told all there is. */
export async function connectAgents(
  client: KubeClient,
  operator: Operator,
  pods: readonly Pod[],
): Promise<Agents> {
  const anchors = parsePem("CERTIFICATE", await operator.bundle());
  const trustDomain = parseTrustDomain(TRUST_DOMAIN);
  const channels: OpenChannel[] = [];
  const waiting = new Set<Waiting>();
  const onPod = (uid: string): void => {
    for (const one of waiting) {
      one.pods.add(uid);
      if (one.pods.size === one.wanted) one.done.resolve(performance.now());
    }
  };
  const stopped = new AbortController();
  await Promise.all(
    pods.map(async (pod) => {
      const token = await agentToken(client, pod);
      const opened = openChannel({ address: operator.issuerAddress, trustDomain, anchors });
      channels.push(opened);
      const synced = Promise.withResolvers<void>();
      const call = { signal: stopped.signal, headers: { authorization: `Bearer ${token}` } };
      const updates = opened.client.stream(Issuer.method.watch, { agentVersion: "bench" }, call);
      follow(updates, { onPod, synced: synced.resolve }).catch((error: unknown) => {
        // A session that ends early would leave its node out of every figure.
        if (!stopped.signal.aborted) synced.reject(error);
      });
      await synced.promise;
    }),
  );
  return {
    told(wanted) {
      const one: Waiting = { pods: new Set(), wanted, done: Promise.withResolvers() };
      waiting.add(one);
      const late = (): void =>
        one.done.reject(new Error(`agents were told of ${one.pods.size} pods, not of ${wanted}`));
      const timer = setTimeout(late, TOLD_MS);
      const done = one.done.promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(one);
      });
      // Whoever awaits it hears of it; until then other work may go on.
      done.catch(() => undefined);
      return done;
    },
    close() {
      stopped.abort();
      for (const { client: calls, channel } of channels) {
        calls.close();
        channel.close();
      }
    },
  };
}

async function follow(
  updates: AsyncIterable<NodeUpdate>,
  { onPod, synced }: { readonly onPod: (uid: string) => void; readonly synced: () => void },
): Promise<void> {
  for await (const { update } of updates) {
    if (update.case === "pod") onPod(update.value.podUid);
    if (update.case === "synced") synced();
  }
}

function agentPod(nodeName: string, index: number): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `signet-agent-${index}`, namespace: OPERATOR_NAMESPACE },
    spec: {
      nodeName,
      serviceAccountName: "signet-agent",
      containers: [{ name: "agent", image: "signet" }],
    },
  } as unknown as Pod;
}
