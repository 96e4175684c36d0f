import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "./cluster/exec.ts";
import type { Json, World } from "./world.ts";

/** A pod's volume, seen from this machine. */
export interface PodFolder {
  /** Short enough for the socket in it. */
  readonly path: string;
  /** The Workload API of the pod as clients take it. */
  readonly uri: string;
  forget(): void;
}

/**
 * Opens the volume of a pod through the mounts of its node, which is a container here. Clients that would be heavy
 * in an image reach the pod's socket so. Needs root, and the nodes' engine on this machine.
 */
export async function openPodFolder({ cluster }: World, pod: Json): Promise<PodFolder> {
  const inspect = ["docker", "inspect", "-f", "{{.State.Pid}}", pod.spec.nodeName];
  const pid = (await must(inspect, { env: { ...cluster.engineEnv } })).trim();
  const volume = pod.spec.volumes.find(({ csi }: Json) => csi?.driver === "csi.spiffe.io").name;
  const pods = `/proc/${pid}/root/var/lib/kubelet/pods`;
  const folder = `${pods}/${pod.metadata.uid}/volumes/kubernetes.io~csi/${volume}/mount`;
  if (!existsSync(folder)) throw new Error(`${folder} is not there: a volume, or root, is missing`);
  // The real path is longer than a socket's may be.
  const root = mkdtempSync(join(tmpdir(), "pod-"));
  const path = join(root, "v");
  symlinkSync(folder, path);
  return {
    path,
    uri: `unix://${path}/api.sock`,
    forget: () => rmSync(root, { recursive: true, force: true }),
  };
}
