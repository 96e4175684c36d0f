import { chmod, cp, link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootFileSystem } from "./debian.ts";
import { docker, imageId, tryDocker } from "./docker.ts";
import type { Engine } from "./engine.ts";
import { must, waitFor } from "./exec.ts";
import { goPrograms, goSource } from "./go-tools.ts";
import { checkedStep, fileInputs, stepKey } from "./steps.ts";
import type { Workshop } from "./steps.ts";
import { nodePackages, proxyPackages, versions } from "./versions.ts";

/** Where the parts of a node image lie on this machine. */
interface Parts {
  readonly kubernetes: string;
  readonly etcd: string;
  readonly coredns: string;
  readonly nodeRoot: string;
  readonly proxyRoot: string;
}

/** One build: its scratch folder, and the log file of its step. */
interface Build {
  readonly engine: Engine;
  readonly parts: Parts;
  readonly folder: string;
  readonly logFile: string;
}

const setupFile = join(import.meta.dirname, "node-image", "setup.sh");

/** Makes kind's node image of Go modules and Debian packages once and gives its reference; needs root on Debian. */
export async function madeNodeImage(shop: Workshop, engine: Engine): Promise<string> {
  const parts: Parts = {
    kubernetes: await goPrograms(shop, "kubernetes"),
    etcd: await goPrograms(shop, "etcd"),
    coredns: await goPrograms(shop, "coredns"),
    nodeRoot: await rootFileSystem(shop, { name: "rootfs-node", packages: nodePackages }),
    proxyRoot: await rootFileSystem(shop, { name: "rootfs-proxy", packages: proxyPackages }),
  };
  const sources = await fileInputs([setupFile, import.meta.filename]);
  const key = stepKey([...Object.values(parts), ...sources]);
  const reference = `signet/kind-node:${key}`;
  await checkedStep(shop, {
    name: `node-image-${key}`,
    find: () => imageId(engine, reference),
    build: async (logFile) => {
      const folder = join(shop.places.steps, `.node-image-${key}`);
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      const build: Build = { engine, parts, folder, logFile };
      try {
        await buildNode(shop, build, reference);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  });
  return reference;
}

async function buildNode(shop: Workshop, build: Build, reference: string): Promise<void> {
  const kubeadm = join(build.parts.kubernetes, "kubeadm");
  const asked = ["config", "images", "list", "--kubernetes-version", `v${versions.kubernetes}`];
  const images = (await must([kubeadm, ...asked])).trim().split("\n");
  const find = (name: string): string => {
    const image = images.find((candidate) => candidate.includes(`/${name}:`));
    if (image === undefined) throw new Error(`kubeadm lists no image ${name}: ${images.join(" ")}`);
    return image;
  };
  await buildBase(shop, build, find("pause"));
  const archives = join(build.folder, "archives");
  await mkdir(archives);
  const { kubernetes, etcd, coredns } = build.parts;
  const systems = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
  const list: FlatImage[] = [
    ...systems.map((name) => ({
      reference: find(name),
      program: join(kubernetes, name),
      path: `/usr/local/bin/${name}`,
    })),
    { reference: find("etcd"), program: join(etcd, "etcd"), path: "/usr/local/bin/etcd" },
    { reference: find("coredns"), program: join(coredns, "coredns"), path: "/coredns" },
    {
      reference: find("pause"),
      program: "/usr/bin/busybox",
      path: "/bin/sleep",
      args: ["infinity"],
    },
  ];
  for (const image of list) await flatImage(build, image);
  const references = list.map((image) => image.reference);
  await docker(build.engine, ["save", "-o", join(archives, "all.tar"), ...references]);
  await preload(build, archives, reference);
  await tryDocker(build.engine, ["image", "rm", "--force", baseReference, ...references]);
}

const baseReference = "signet/kind-base:build";

/** Builds the node without its images: packages, kind's files, Kubernetes' binaries. */
async function buildBase(shop: Workshop, build: Build, pause: string): Promise<void> {
  const context = join(build.folder, "base");
  await mkdir(join(context, "bin"), { recursive: true });
  await link(build.parts.nodeRoot, join(context, "rootfs.tar"));
  for (const name of ["kubeadm", "kubelet", "kubectl"]) {
    await link(join(build.parts.kubernetes, name), join(context, "bin", name));
  }
  const kind = await goSource(shop, "kind", "sigs.k8s.io/kind");
  await cp(join(kind, "images", "base", "files"), join(context, "files"), { recursive: true });
  await cp(setupFile, join(context, "setup.sh"));
  await must(["chmod", "-R", "u=rwX,go=rX", join(context, "files")]);
  for (const folder of ["kind/bin", "usr/local/bin"]) {
    await must(["chmod", "-R", "a+x", join(context, "files", folder)]);
  }
  await writeFile(join(context, "version"), `v${versions.kubernetes}`);
  await writeFile(join(context, "Dockerfile"), baseDockerfile(pause));
  const args = ["build", "--network", "none", "--pull=false", "-t", baseReference, context];
  await docker(build.engine, args, { logFile: build.logFile, env: { DOCKER_BUILDKIT: "0" } });
}

function baseDockerfile(pause: string): string {
  return [
    "FROM scratch",
    "ADD rootfs.tar /",
    "COPY files/ /",
    "COPY bin/ /usr/bin/",
    "COPY version /kind/version",
    "COPY setup.sh /setup.sh",
    `RUN sh /setup.sh ${pause} && rm /setup.sh`,
    "ENV container=docker",
    "STOPSIGNAL SIGRTMIN+3",
    'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]',
    "",
  ].join("\n");
}

interface FlatImage {
  readonly reference: string;
  readonly program: string;
  /** Where the program lies in the image; it is what the image runs. */
  readonly path: string;
  readonly args?: readonly string[];
}

/** Imports one program as an image of a single layer: more cannot be unpacked on overlay over overlay. */
async function flatImage(build: Build, image: FlatImage): Promise<void> {
  const { reference, program, path, args = [] } = image;
  const layer = join(build.folder, "layer.tar");
  const tree = join(build.folder, "tree");
  await mkdir(join(tree, path, ".."), { recursive: true });
  await cp(program, join(tree, path));
  await chmod(join(tree, path), 0o755);
  const withSystem = reference.includes("/kube-proxy:");
  if (withSystem) await cp(build.parts.proxyRoot, layer);
  const mode = withSystem ? "--append" : "--create";
  await must(["tar", mode, "--owner=0", "--group=0", "-f", layer, "-C", tree, path.slice(1)]);
  const entrypoint = `ENTRYPOINT ${JSON.stringify([path, ...args])}`;
  const searched = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const changes = ["--change", entrypoint, "--change", searched];
  await docker(build.engine, ["import", ...changes, layer, reference], { logFile: build.logFile });
  await rm(tree, { recursive: true });
  await rm(layer);
}

/** Removes the layers' blobs, which are unpacked by now: half of what every node would copy at its start. */
const discardScript = `ctr -n k8s.io content ls | awk 'NR > 1 && $2 ~ /(MB|GB|MiB|GiB)$/ { print $1 }' |
  xargs -r ctr -n k8s.io content rm
`;

/** Imports the images into a node's containerd and commits the result. */
async function preload(build: Build, archives: string, reference: string): Promise<void> {
  const { engine, logFile } = build;
  const name = `signet-preload-${process.pid}`;
  const start = ["run", "-d", "--privileged", "--network=none", "--name", name];
  const mounts = ["-v", `${archives}:/archives:ro`, "--entrypoint", "sleep"];
  await docker(engine, [...start, ...mounts, baseReference, "infinity"], { logFile });
  try {
    await docker(engine, ["exec", "-d", name, "containerd"], { logFile });
    await waitFor("containerd in the image that is built", 60_000, async () => {
      const asked = await tryDocker(engine, ["exec", name, "ctr", "version"]);
      return asked.code === 0 ? true : undefined;
    });
    const importing = ["ctr", "-n", "k8s.io", "images", "import", "/archives/all.tar"];
    await docker(engine, ["exec", name, ...importing], { logFile });
    await docker(engine, ["exec", "-i", name, "sh", "-eu"], { logFile, input: discardScript });
    await docker(engine, ["exec", name, "pkill", "-TERM", "-x", "containerd"], { logFile });
    await waitFor("containerd to end", 30_000, async () => {
      const asked = await tryDocker(engine, ["exec", name, "pgrep", "-x", "containerd"]);
      return asked.code === 1 ? true : undefined;
    });
    const entrypoint = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]';
    await docker(engine, ["commit", "--change", entrypoint, name, reference], { logFile });
  } finally {
    await tryDocker(engine, ["rm", "-f", "-v", name]);
  }
}
