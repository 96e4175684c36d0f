import type { Json, World } from "./world.ts";

/**
 * Makes Node objects without a machine behind them. Pods that are bound to them have entries like all others and cost
 * nothing; no DaemonSet runs there, as they have no label for an operating system.
 */
export async function fakeNodes(world: World, ...names: readonly string[]): Promise<void> {
  await world.apply(
    ...names.map((name) => ({ apiVersion: "v1", kind: "Node", metadata: { name } })),
  );
}

/** A pod on a fake node. It never starts, and is gone at once when it is deleted. */
export function fakePod(
  node: string,
  metadata: { readonly name: string; readonly namespace: string; readonly labels: Json },
): Json {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      // Nobody reports for the node: it becomes unreachable.
      tolerations: [{ operator: "Exists" }],
      containers: [{ name: "main", image: "none.invalid/none" }],
    },
  };
}
