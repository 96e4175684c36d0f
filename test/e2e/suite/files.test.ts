import { beforeAll, describe, expect, it } from "vitest";
import { clusterSpiffeId, expectedId, MOUNT_PATH, openWorld, workloadPod } from "../world.ts";
import type { World } from "../world.ts";

const NS = "e2e-files";
let world: World;

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  await world.apply(
    clusterSpiffeId(NS, NS, { ttl: "10m", dnsNameTemplates: ["{{ .PodMeta.Name }}.shop"] }),
  );
});

describe("a pod in a labelled namespace", () => {
  it("finds its SVID before its init container runs", async () => {
    const check = [
      "-e",
      `require("fs").readFileSync("${MOUNT_PATH}/tls.crt"); require("fs").readFileSync("${MOUNT_PATH}/tls.key")`,
    ];
    await world.apply(
      workloadPod(world, {
        name: "early",
        namespace: NS,
        spec: { initContainers: [{ name: "look", image: world.images.workload, args: check }] },
      }),
    );
    const pod = await world.ready(NS, "early");
    expect(pod.status.initContainerStatuses[0].restartCount).toBe(0);
    const svid = await world.svid(NS, "early");
    expect(svid.uris).toEqual([expectedId(NS)]);
    expect(svid.dnsNames).toEqual(["early.shop"]);
    expect(svid.notAfter - svid.notBefore).toBeGreaterThanOrEqual(600_000);
    expect(svid.notAfter - svid.notBefore).toBeLessThanOrEqual(611_000);
  });
});
