import * as fc from "fast-check";
import type { IncomingPod } from "../../src/webhook/pod.ts";

export const DRIVER = "csi.spiffe.io";
export const MOUNT_PATH = "/var/run/secrets/spiffe.io";

/** A pod as a client sends it, with one container. */
export function pod(overrides: {
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
  spec?: Partial<IncomingPod["spec"]>;
}): IncomingPod {
  const { annotations, labels, spec } = overrides;
  return {
    metadata: {
      generateName: "web-",
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
    },
    spec: { containers: [{ name: "app", image: "app:1" }], ...spec },
  };
}

const env = fc.record(
  {
    name: fc.constantFrom("A", "SPIFFE_ENDPOINT_SOCKET", "SPIFFE_CREDENTIAL_FOLDER"),
    value: fc.string(),
  },
  { requiredKeys: ["name"] },
);

const mount = fc.record(
  {
    name: fc.constantFrom("signet", "signet-2", "mine", "data"),
    mountPath: fc.constantFrom("/a", "/a/", "/var/run/secrets", "/b~c/d"),
    readOnly: fc.boolean(),
    subPath: fc.constantFrom("", "tls.crt"),
  },
  { requiredKeys: ["name", "mountPath"] },
);

const container = (name: string) =>
  fc.record(
    {
      name: fc.constant(name),
      image: fc.string(),
      env: fc.array(env, { maxLength: 4 }),
      volumeMounts: fc.array(mount, { maxLength: 4 }),
      restartPolicy: fc.constant("Always"),
    },
    { requiredKeys: ["name"] },
  );

const containers = (prefix: string, minLength: number) =>
  fc
    .integer({ min: minLength, max: 4 })
    .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => container(prefix + i))));

const volume = fc.oneof(
  fc.record({ name: fc.constantFrom("signet", "data"), emptyDir: fc.constant({}) }),
  fc.record({
    name: fc.constantFrom("signet", "signet-2", "mine"),
    csi: fc.record(
      {
        driver: fc.constantFrom(DRIVER, "other.example.org"),
        readOnly: fc.constant(true),
        volumeAttributes: fc.constant({ "other.example.org/x": "y" }),
      },
      { requiredKeys: ["driver"] },
    ),
  }),
);

/** Pods that can be injected, with everything a user may have written before. */
export const anyPod = fc.record(
  {
    metadata: fc.record(
      {
        name: fc.string(),
        annotations: fc.record(
          {
            "signet.dev/mount-path": fc.constantFrom("/x/y", "/x/y/"),
            "signet.dev/optional": fc.constantFrom("true", "false"),
            "signet.dev/containers": fc.constantFrom("c0", "c0,c0"),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
    spec: fc.record(
      {
        containers: containers("c", 1),
        initContainers: containers("i", 0),
        volumes: fc.uniqueArray(volume, { maxLength: 4, selector: ({ name }) => name }),
        hostNetwork: fc.boolean(),
      },
      { requiredKeys: ["containers"] },
    ),
  },
  { requiredKeys: ["spec"] },
) as unknown as fc.Arbitrary<IncomingPod>;
