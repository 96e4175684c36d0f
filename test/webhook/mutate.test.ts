import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Volume } from "../../src/kube/types.ts";
import { injectVolume } from "../../src/webhook/mutate.ts";
import type { IncomingPod } from "../../src/webhook/pod.ts";
import { anyPod, DRIVER, MOUNT_PATH, pod } from "./pods.ts";

const inject = (given: IncomingPod): IncomingPod => injectVolume(given, { driverName: DRIVER });

const MOUNT = { name: "signet", mountPath: MOUNT_PATH, readOnly: true };
const ENV = [
  { name: "SPIFFE_ENDPOINT_SOCKET", value: `unix://${MOUNT_PATH}/api.sock` },
  { name: "SPIFFE_CREDENTIAL_FOLDER", value: MOUNT_PATH },
];

/** What every container has to end up with, told without the code under test. */
function identityOf(given: IncomingPod, containerName: string): string | undefined {
  const ours = new Set(
    (given.spec.volumes ?? []).filter((v) => v.csi?.driver === DRIVER).map((v) => v.name),
  );
  const all = [...(given.spec.initContainers ?? []), ...(given.spec.containers ?? [])];
  const found = all.find((c) => c.name === containerName);
  return found?.volumeMounts?.find((m) => ours.has(m.name) && !m.subPath)?.mountPath;
}

describe("injectVolume", () => {
  it("adds one read-only volume of the driver, its mount and the variables", () => {
    const { spec } = inject(pod({}));
    expect(spec.volumes).toEqual([{ name: "signet", csi: { driver: DRIVER, readOnly: true } }]);
    expect(spec.containers).toEqual([
      { name: "app", image: "app:1", volumeMounts: [MOUNT], env: ENV },
    ]);
  });

  it("equips init containers and native sidecars, and no ephemeral container", () => {
    const sidecar = { name: "proxy", restartPolicy: "Always" };
    const debug = [{ name: "debug" }];
    const { spec } = inject(
      pod({
        spec: { initContainers: [{ name: "init" }, sidecar], ephemeralContainers: debug } as object,
      }),
    );
    expect(spec.initContainers?.map((c) => c.volumeMounts)).toEqual([[MOUNT], [MOUNT]]);
    expect(spec.initContainers?.map((c) => c.env)).toEqual([ENV, ENV]);
    expect(spec.initContainers?.[1]).toMatchObject(sidecar);
    expect(spec).toMatchObject({ ephemeralContainers: debug });
    expect((spec as unknown as { ephemeralContainers: unknown }).ephemeralContainers).toBe(debug);
  });

  it("keeps the user's volume of the driver, whatever its name and attributes", () => {
    const mine: Volume = {
      name: "spiffe-workload-api",
      csi: { driver: DRIVER, readOnly: true, volumeAttributes: { a: "b" } },
    };
    const { spec } = inject(pod({ spec: { volumes: [mine] } }));
    expect(spec.volumes).toEqual([mine]);
    expect(spec.containers?.[0]?.volumeMounts).toEqual([{ ...MOUNT, name: mine.name }]);
  });

  it("points the variables at the mount that the user already has", () => {
    const given = pod({
      spec: {
        volumes: [{ name: "mine", csi: { driver: DRIVER, readOnly: true } }],
        containers: [{ name: "app", volumeMounts: [{ name: "mine", mountPath: "/spiffe/" }] }],
      },
    });
    const container = inject(given).spec.containers?.[0];
    expect(container?.volumeMounts).toEqual([{ name: "mine", mountPath: "/spiffe/" }]);
    expect(container?.env).toEqual([
      { name: "SPIFFE_ENDPOINT_SOCKET", value: "unix:///spiffe/api.sock" },
      { name: "SPIFFE_CREDENTIAL_FOLDER", value: "/spiffe" },
    ]);
  });

  it("does not take a mount of a single file for the volume", () => {
    const file = { name: "mine", mountPath: "/ca.crt", subPath: "ca.crt" };
    const given = pod({
      spec: {
        volumes: [{ name: "mine", csi: { driver: DRIVER, readOnly: true } }],
        containers: [{ name: "app", volumeMounts: [file] }],
      },
    });
    const mounts = inject(given).spec.containers?.[0]?.volumeMounts;
    expect(mounts).toEqual([file, { ...MOUNT, name: "mine" }]);
  });

  it("keeps a variable of the same name and appends behind the user's own", () => {
    const socket = { name: "SPIFFE_ENDPOINT_SOCKET", value: "unix:///elsewhere.sock" };
    const given = pod({ spec: { containers: [{ name: "app", env: [{ name: "A" }, socket] }] } });
    expect(inject(given).spec.containers?.[0]?.env).toEqual([{ name: "A" }, socket, ENV[1]]);
  });

  it("takes another name where the pod uses `signet` for something else", () => {
    const other = { name: "signet", emptyDir: {} } as Volume;
    const { spec } = inject(pod({ spec: { volumes: [other] } }));
    expect(spec.volumes?.map((v) => v.name)).toEqual(["signet", "signet-2"]);
    expect(spec.containers?.[0]?.volumeMounts?.[0]?.name).toBe("signet-2");
  });

  it("mounts at the path and in the containers that the annotations name", () => {
    const given = pod({
      annotations: { "signet.dev/mount-path": "/id/", "signet.dev/containers": "app, init" },
      spec: { containers: [{ name: "app" }, { name: "log" }], initContainers: [{ name: "init" }] },
    });
    const { spec } = inject(given);
    expect(spec.containers?.[0]?.volumeMounts).toEqual([{ ...MOUNT, mountPath: "/id" }]);
    expect(spec.containers?.[0]?.env?.[0]?.value).toBe("unix:///id/api.sock");
    expect(spec.containers?.[1]).toEqual({ name: "log" });
    expect(spec.initContainers?.[0]?.volumeMounts).toHaveLength(1);
  });

  it("passes `optional` on to the volume", () => {
    const { spec } = inject(pod({ annotations: { "signet.dev/optional": "true" } }));
    expect(spec.volumes?.[0]?.csi?.volumeAttributes).toEqual({ "signet.dev/optional": "true" });
  });

  it("copies what the annotations say of the volume to the volume that it adds", () => {
    const attributes = { "signet.dev/files": "jks", "signet.dev/uid": "7" };
    const annotations = { ...attributes, "signet.dev/mount-path": "/id", "example.com/x": "y" };
    const { spec } = inject(pod({ annotations }));
    expect(spec.volumes?.[0]?.csi?.volumeAttributes).toEqual(attributes);
  });

  it("leaves the attributes of the user's own volume, whatever the annotations say", () => {
    const volumeAttributes = { "signet.dev/files": "kubernetes" };
    const mine: Volume = {
      name: "mine",
      csi: { driver: DRIVER, readOnly: true, volumeAttributes },
    };
    const annotations = { "signet.dev/files": "jks", "signet.dev/uid": "7" };
    expect(inject(pod({ annotations, spec: { volumes: [mine] } })).spec.volumes).toEqual([mine]);
  });

  it("refuses attributes of the user's own volume that the agent would refuse", () => {
    const volumeAttributes = { "signet.dev/files": "jsk" };
    const mine: Volume = {
      name: "mine",
      csi: { driver: DRIVER, readOnly: true, volumeAttributes },
    };
    expect(() => inject(pod({ spec: { volumes: [mine] } }))).toThrow(
      /^volume attribute signet.dev\/files="jsk" must name/,
    );
  });

  it("looks at the volume that the container mounts, where the pod declares several", () => {
    const csi = { driver: DRIVER, readOnly: true };
    const bare = { ...csi, volumeAttributes: { "signet.dev/files": "kubernetes" } };
    const volumes: Volume[] = [
      { name: "full", csi },
      { name: "bare", csi: bare },
    ];
    const containers = ["bare", "full"].map((name) => ({
      name,
      volumeMounts: [{ name, mountPath: "/x" }],
    }));
    const { spec } = inject(pod({ spec: { volumes, containers } }));
    const named = spec.containers?.map(({ env = [] }) => env.map(({ name }) => name));
    expect(named).toEqual([["SPIFFE_ENDPOINT_SOCKET"], ENV.map(({ name }) => name)]);
  });

  it.each<[Record<string, string>, boolean]>([
    [{ "signet.dev/files": "kubernetes" }, false],
    [{ "signet.dev/file-names": "credential-bundle.pem=x.pem" }, false],
    [{ "signet.dev/files": "credential-bundle" }, true],
  ])("with %j the variable of SPIFFE's filesystem delivery is there: %j", (attributes, there) => {
    const mine: Volume = {
      name: "mine",
      csi: {
        driver: DRIVER,
        readOnly: true,
        volumeAttributes: attributes,
      },
    };
    const mounts = [{ name: "mine", mountPath: "/x" }];
    const containers = [{ name: "app", volumeMounts: mounts }, { name: "late" }];
    const annotated = inject(pod({ annotations: attributes })).spec;
    const own = inject(pod({ spec: { volumes: [mine], containers } })).spec;
    for (const { env = [] } of [...(annotated.containers ?? []), ...(own.containers ?? [])]) {
      const names = env.map(({ name }) => name);
      expect(names).toContain("SPIFFE_ENDPOINT_SOCKET");
      expect(names.includes("SPIFFE_CREDENTIAL_FOLDER")).toBe(there);
    }
  });

  it.each([MOUNT_PATH, `${MOUNT_PATH}/`, `${MOUNT_PATH}/sub`])(
    "refuses a container with another volume at %s, and says the way out",
    (mountPath) => {
      const given = pod({
        spec: {
          volumes: [{ name: "cert-manager" }],
          containers: [{ name: "app", volumeMounts: [{ name: "cert-manager", mountPath }] }],
        },
      });
      expect(() => inject(given)).toThrow(
        /container "app" already mounts volume "cert-manager" .*signet\.dev\/mount-path.*signet\.dev\/containers/,
      );
    },
  );

  it("does not mind a volume above or beside the mount path", () => {
    const beside = ["/var/run/secrets", `${MOUNT_PATH}.old`, "/"].map((mountPath, index) => ({
      name: `v${index}`,
      mountPath,
    }));
    const given = pod({ spec: { containers: [{ name: "app", volumeMounts: beside }] } });
    expect(inject(given).spec.containers?.[0]?.volumeMounts).toEqual([...beside, MOUNT]);
  });

  it("does not mind a collision in a container that is left out", () => {
    const taken = { name: "b", volumeMounts: [{ name: "x", mountPath: MOUNT_PATH }] };
    const given = pod({
      annotations: { "signet.dev/containers": "app" },
      spec: { containers: [{ name: "app" }, taken] },
    });
    expect(inject(given).spec.containers?.[1]).toBe(taken);
  });

  it("returns the very same pod on the second pass, and never changes its argument", () => {
    fc.assert(
      fc.property(anyPod, (given) => {
        const before = structuredClone(given);
        const once = inject(given);
        expect(given).toEqual(before);
        expect(inject(once)).toBe(once);
      }),
    );
  });

  it("gives every chosen container the volume and both variables, and no two volumes one name", () => {
    fc.assert(
      fc.property(anyPod, (given) => {
        const done = inject(given);
        const chosen = given.metadata?.annotations?.["signet.dev/containers"];
        const all = [...(done.spec.initContainers ?? []), ...(done.spec.containers ?? [])];
        for (const { name, env } of all.filter((c) => chosen === undefined || c.name === "c0")) {
          expect(identityOf(done, name)).toBeDefined();
          const names = env?.map((variable) => variable.name);
          expect(names).toEqual(expect.arrayContaining(ENV.map((variable) => variable.name)));
        }
        const names = done.spec.volumes?.map((volume) => volume.name);
        expect(new Set(names).size).toBe(names?.length);
      }),
    );
  });

  it("only appends: everything that was there stays where it was", () => {
    fc.assert(
      fc.property(anyPod, (given) => {
        const done = inject(given);
        for (const list of ["containers", "initContainers"] as const) {
          given.spec[list]?.forEach((container, index) => {
            const after = done.spec[list]?.[index];
            const { env = [], volumeMounts = [], ...rest } = container;
            expect(after).toMatchObject(rest);
            expect(after?.env?.slice(0, env.length) ?? []).toEqual(env);
            expect(after?.volumeMounts?.slice(0, volumeMounts.length) ?? []).toEqual(volumeMounts);
          });
        }
        const volumes = given.spec.volumes ?? [];
        expect(done.spec.volumes?.slice(0, volumes.length) ?? []).toEqual(volumes);
      }),
    );
  });
});
