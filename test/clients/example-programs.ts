import { dirname, join } from "node:path";
import { must } from "../e2e/cluster/exec.ts";
import { goProgram } from "../e2e/cluster/go-tools.ts";
import { fileInputs, folderStep } from "../e2e/cluster/steps.ts";
import type { Workshop } from "../e2e/cluster/steps.ts";
import { build } from "./programs.ts";
import type { Program } from "./programs.ts";

/** The servers of docs/workloads.md, which speak mTLS, by file name. */
export const SERVERS = ["server.mjs", "server.py", "server.go", "Server.java"] as const;
/** The programs of docs/workloads.md that print a line for each SVID. */
export const FOLLOWERS = ["follow.rs", "follow.cc"] as const;
type Example = (typeof SERVERS)[number] | (typeof FOLLOWERS)[number];

const FOLDER = join(import.meta.dirname, "../../docs/examples");

/** Makes an example ready to run, in the versions of the libraries that the clients are pinned to. */
export const buildExample: Readonly<Record<Example, (shop: Workshop) => Promise<Program>>> = {
  "server.mjs": () => Promise.resolve({ argv: [process.execPath, join(FOLDER, "server.mjs")] }),
  "server.py": () => Promise.resolve({ argv: ["python3", join(FOLDER, "server.py")] }),
  async "server.go"(shop) {
    const module = join(import.meta.dirname, "go");
    const source = join(FOLDER, "server.go");
    const sources = [join(module, "go.mod"), join(module, "go.sum"), source];
    const folder = await folderStep(shop, {
      name: "example-go",
      inputs: [...(await fileInputs(sources)), process.arch],
      build: async (folder, logFile) => {
        const go = [
          await goProgram(shop),
          "build",
          "-trimpath",
          "-o",
          join(folder, "server"),
          source,
        ];
        await must(go, { cwd: module, env: { CGO_ENABLED: "0" }, logFile, timeoutMs: 600_000 });
      },
    });
    return { argv: [join(folder, "server")] };
  },
  async "Server.java"(shop) {
    const [java = "", option = "", libraries = ""] = (await build.java(shop)).argv;
    const source = join(FOLDER, "Server.java");
    const folder = await folderStep(shop, {
      name: "example-java",
      inputs: [...(await fileInputs([source])), libraries],
      build: async (folder, logFile) => {
        await must(["javac", "-cp", libraries, "-d", folder, source], { logFile });
      },
    });
    return { argv: [java, option, [folder, libraries].join(":"), "Server"] };
  },
  "follow.rs": async (shop) => besides(await build.rust(shop)),
  "follow.cc": async (shop) => besides(await build.cpp(shop)),
};

/** Built together with the client of its language. */
function besides({ argv: [client = ""] }: Program): Program {
  return { argv: [join(dirname(client), "follow")] };
}
