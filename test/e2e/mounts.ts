import type { Json, World } from "./world.ts";

const MOUNT = /\/pods\/([0-9a-f-]{36})\/volumes\/kubernetes\.io~csi\/.* - tmpfs csi\.spiffe\.io /;

/** What Signet holds on a node. */
export interface NodeVolumes {
  /** UIDs of the pods whose volume is mounted, one for each mount. */
  readonly mounted: readonly string[];
  /** The agent's files about volumes. */
  readonly states: number;
}

/** Reads a node's own mount table and the agent's folder. */
export async function volumesOn(world: World, node: string): Promise<NodeVolumes> {
  const table = await world.cluster.onNode(node, ["cat", "/proc/1/mountinfo"]);
  if (table.code !== 0) throw new Error(`mount table of ${node}: ${table.stderr}`);
  const mounted = table.stdout.split("\n").flatMap((line) => MOUNT.exec(line)?.[1] ?? []);
  const folder = "/var/lib/kubelet/plugins/csi.spiffe.io/volumes";
  const files = await world.cluster.onNode(node, ["ls", "-A", folder]);
  return { mounted, states: files.stdout.split("\n").filter((name) => name !== "").length };
}

/** Waits until every volume on every node belongs to a pod that exists, once: nothing leaked. */
export async function noLeakedVolumes(world: World): Promise<void> {
  const nodes = [world.cluster.controlPlane, ...world.cluster.workers];
  await world.until(
    "the volumes of deleted pods to be gone",
    async () => {
      const pods = await world.list("pods", ["-A"]);
      const uids = new Set(pods.map((pod: Json) => pod.metadata.uid));
      for (const node of nodes) {
        const { mounted, states } = await volumesOn(world, node);
        const leaked = mounted.filter((uid) => !uids.has(uid));
        if (leaked.length > 0) throw new Error(`${node}: mounts of deleted pods ${leaked.join()}`);
        if (new Set(mounted).size !== mounted.length) throw new Error(`${node}: stacked mounts`);
        if (states !== mounted.length) {
          throw new Error(`${node}: ${states} states for ${mounted.length} mounts`);
        }
      }
      return true;
    },
    120_000,
  );
}
