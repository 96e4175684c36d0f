import { copyFile, mkdir, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { sharedFolder } from "./cluster/config.ts";
import { must } from "./cluster/exec.ts";
import { goProgram } from "./cluster/go-tools.ts";
import { fileInputs, folderStep } from "./cluster/steps.ts";
import { workshop } from "./cluster/cluster.ts";
import type { Json, World } from "./world.ts";

const SOURCE = join(import.meta.dirname, "peer/peer.go");
/** In the versions that the other Go clients are pinned to. */
const MODULE = join(import.meta.dirname, "../clients/go");

/** Builds `peer/peer.go` and puts it where all nodes see it: no image is needed. Gives its path on the nodes. */
export async function providePeer({ cluster }: World): Promise<string> {
  const shop = workshop(console.log);
  const sources = [SOURCE, join(MODULE, "go.mod"), join(MODULE, "go.sum")];
  const folder = await folderStep(shop, {
    name: "peer",
    inputs: [...(await fileInputs(sources)), process.arch],
    build: async (target, logFile) => {
      const go = await goProgram(shop);
      const argv = [go, "build", "-trimpath", "-o", join(target, "peer"), SOURCE];
      await must(argv, {
        ...{ cwd: MODULE, env: { CGO_ENABLED: "0" }, logFile },
        timeoutMs: 1_200_000,
      });
    },
  });
  const name = basename(folder);
  const shared = join(dirname(cluster.kubeconfig), "images");
  await mkdir(shared, { recursive: true });
  await copyFile(join(folder, "peer"), join(shared, `.${name}`));
  await rename(join(shared, `.${name}`), join(shared, name));
  return join(sharedFolder, name);
}

/** The container and the volume of a pod that runs the program at `path` on its node. */
export function peerSpec(world: World, path: string, args: readonly string[]): Json {
  return {
    containers: [
      {
        ...{ name: "main", image: world.images.workload, command: ["/peer"], args },
        volumeMounts: [{ name: "peer", mountPath: "/peer", readOnly: true }],
      },
    ],
    volumes: [{ name: "peer", hostPath: { path, type: "File" } }],
  };
}
