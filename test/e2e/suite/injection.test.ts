import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, expectedId, MOUNT_PATH, openWorld, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

const ASKS = "e2e-inject-asks";
const SILENT = "e2e-inject-silent";
const YES = { "signet.dev/inject": "true" };
const NO = { "signet.dev/inject": "false" };
const VOLUME = { name: "signet", csi: { driver: "csi.spiffe.io", readOnly: true } };
const MOUNT = { name: "signet", mountPath: MOUNT_PATH, readOnly: true };
const ENV = [
  { name: "SPIFFE_ENDPOINT_SOCKET", value: `unix://${MOUNT_PATH}/api.sock` },
  { name: "SPIFFE_CREDENTIAL_FOLDER", value: MOUNT_PATH },
];
let world: World;

beforeAll(async () => {
  world = await openWorld();
  await Promise.all([world.namespace(ASKS, YES), world.namespace(SILENT, {})]);
  await world.apply(clusterSpiffeId(ASKS, ASKS), deployment("web", ASKS), elsewhere("elsewhere"));
});

afterAll(() => tidy(world, { namespaces: [ASKS, SILENT], clusterSpiffeIds: [ASKS] }));

describe("the API server, asked to make a pod", () => {
  it("adds the volume where the namespace asks for it, to containers and init containers", async () => {
    const { spec } = await admit(withInit({ namespace: ASKS }));
    expect(csiVolumes(spec)).toEqual([VOLUME]);
    for (const container of [...spec.initContainers, ...spec.containers]) {
      expect(container.volumeMounts).toContainEqual(MOUNT);
      expect(container.env).toEqual(ENV);
    }
    expect(spec.initContainers).toHaveLength(1);
    expect(spec.containers).toHaveLength(2);
  });

  it("adds the volume where only the pod asks for it", async () => {
    const { spec } = await admit(withInit({ namespace: SILENT, labels: YES }));
    expect(csiVolumes(spec)).toEqual([VOLUME]);
    expect(spec.containers[1].volumeMounts).toContainEqual(MOUNT);
  });

  it("adds nothing to a pod that says no, whatever its namespace says", async () => {
    expect(traces(await admit(withInit({ namespace: ASKS, labels: NO })))).toEqual([]);
  });

  it("adds nothing where nobody asks", async () => {
    expect(traces(await admit(withInit({ namespace: SILENT })))).toEqual([]);
  });

  it("adds nothing to pods of the system's and of Signet's own namespace", async () => {
    for (const namespace of ["kube-system", "signet-system"]) {
      expect(traces(await admit(withInit({ namespace, labels: YES })))).toEqual([]);
    }
  });

  it("keeps what the owner wrote", async () => {
    const socket = { name: "SPIFFE_ENDPOINT_SOCKET", value: "unix:///mine/spire-agent.sock" };
    const own = {
      name: "own",
      image: "none",
      env: [{ name: "A", value: "1" }, socket],
      volumeMounts: [
        { name: "scratch", mountPath: "/scratch" },
        { name: "id", mountPath: "/mine", readOnly: true },
      ],
    };
    const volumes = [
      { name: "scratch", emptyDir: {} },
      { name: "id", csi: { driver: "csi.spiffe.io", readOnly: true } },
    ];
    const plain = { name: "plain", image: "none" };
    const spec = { containers: [own, plain], volumes, automountServiceAccountToken: false };
    const { spec: result } = await admit(
      workloadPod(world, { name: "p", namespace: ASKS, labels: { app: "x" }, spec }),
    );
    expect(result.volumes).toEqual(volumes);
    const [first, second] = result.containers;
    expect(first.volumeMounts).toEqual(own.volumeMounts);
    expect(first.env).toEqual([...own.env, { name: "SPIFFE_CREDENTIAL_FOLDER", value: "/mine" }]);
    expect(second.volumeMounts).toEqual([{ ...MOUNT, name: "id" }]);
    expect(second.env).toEqual(ENV);
  });

  it("changes nothing in a pod that has been injected before", async () => {
    const { metadata, spec } = await admit(withInit({ namespace: ASKS }));
    const { name, namespace } = metadata;
    const again = await admit({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace },
      spec,
    });
    expect(again.spec).toEqual(spec);
  });

  it.each([
    [
      "signet.dev/mount-path",
      "relative/path",
      /mount-path="relative\/path" must be an absolute path/,
    ],
    [
      "signet.dev/containers",
      "main,mian",
      /names no container "mian"; the pod has first, main, side/,
    ],
    ["signet.dev/optional", "maybe", /optional="maybe" must be "true" or "false"/],
  ])("refuses the annotation %s=%s and says why", async (annotation, value, message) => {
    const pod = withInit({ namespace: ASKS, annotations: { [annotation]: value } });
    const { code, stderr } = await submit(pod);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(stderr).toContain("inject.signet.dev");
  });
});

describe("a running pod", () => {
  it("of a Deployment in a namespace that asks has its SVID", async () => {
    const rollout = ["rollout", "status", "-n", ASKS, "deployment/web", "--timeout=60s"];
    await world.cluster.kubectl(rollout, { timeoutMs: 90_000 });
    const pods = await world.list("pods", ["-n", ASKS, "-l", "app=web"]);
    expect(pods).toHaveLength(2);
    const ids = pods.map(async (pod) => (await world.svid(ASKS, pod.metadata.name)).uris);
    expect(await Promise.all(ids)).toEqual([[expectedId(ASKS)], [expectedId(ASKS)]]);
  });

  it("finds its SVID where its annotations want it, and in no other container", async () => {
    await world.ready(ASKS, "elsewhere");
    const look = (container: string, script: string) =>
      world.cluster.tryKubectl([
        ...["exec", "-n", ASKS, "elsewhere", "-c", container],
        ...["--", "sh", "-c", script],
      ]);
    const main = await look("main", "cd $SPIFFE_CREDENTIAL_FOLDER && pwd && ls tls.key");
    expect(main.stdout).toBe("/id/x509\ntls.key\n");
    const side = await look("side", `ls /id ${MOUNT_PATH}; env | grep -c SPIFFE`);
    expect(side.stdout).toBe("0\n");
  });
});

/** Two containers and an init container that want nothing of Signet themselves. */
function withInit(options: {
  namespace: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}): Json {
  const image = world.images.workload;
  const spec = {
    initContainers: [{ name: "first", image, args: ["-e", "0"] }],
    containers: ["main", "side"].map((name) => ({ name, image, args: ["/workload/sleep.mjs"] })),
  };
  return workloadPod(world, { name: "p", ...options, spec });
}

function elsewhere(name: string): Json {
  const annotations = { "signet.dev/mount-path": "/id/x509", "signet.dev/containers": "main" };
  const pod = withInit({ namespace: ASKS, annotations });
  return { ...pod, metadata: { ...pod.metadata, name } };
}

function deployment(name: string, namespace: string): Json {
  const labels = { app: name };
  const { spec } = workloadPod(world, { name, namespace });
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec },
    },
  };
}

/** What the API server would store, admission included. */
async function admit(pod: Json): Promise<Json> {
  const { code, stdout, stderr } = await submit(pod);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function submit(pod: Json) {
  const create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
  return world.cluster.tryKubectl(create, { input: JSON.stringify(pod) });
}

function csiVolumes(spec: Json): Json[] {
  return spec.volumes.filter((volume: Json) => volume.csi);
}

/** All that an injection would leave in a pod of `withInit`. */
function traces({ spec }: Json): Json[] {
  const own = "/var/run/secrets/kubernetes.io/serviceaccount";
  const containers: Json[] = [...spec.initContainers, ...spec.containers];
  return [
    ...csiVolumes(spec),
    ...containers.flatMap(({ env = [] }) => env),
    ...containers.flatMap(({ volumeMounts }) =>
      volumeMounts.filter((mount: Json) => mount.mountPath !== own),
    ),
  ];
}
