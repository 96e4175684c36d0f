import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, openWorld, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-rotation";
const ROTATIONS = 3;
let world: World;
/** What each reader saw up to its third rotation. */
let reports: Record<string, Report>;

/** What `workload/reader.mjs` tells; all counters since its start. */
interface Report {
  readonly reads: number;
  readonly missing: number;
  readonly mismatched: number;
  readonly expired: number;
  readonly naiveMissing: number;
  /** inotify events of the swapped link. */
  readonly notices: number;
  readonly serials: readonly string[];
  /** Different public keys. */
  readonly keys: number;
  readonly faults: readonly string[];
}

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  const readers = [
    reader("open", world.cluster.workers[0], {}),
    reader("grouped", world.cluster.workers[1], { securityContext: { fsGroup: 2000 } }),
  ];
  await world.apply(clusterSpiffeId(NS, NS, { ttl: "30s" }), ...readers);
  const names = readers.map(({ metadata }) => metadata.name as string);
  const seen = names.map(async (name) => [name, await afterRotations(name)] as const);
  reports = Object.fromEntries(await Promise.all(seen));
});

afterAll(() => tidy(world, { namespaces: [NS], clusterSpiffeIds: [NS] }));

describe.each(["open", "grouped"])("a reader in a tight loop, pod %s", (name) => {
  it("sees an SVID of 30 s rotate three times and always finds a pair that belongs together", () => {
    const { reads, serials, missing, mismatched, faults } = report(name);
    expect(faults).toEqual([]);
    expect({ missing, mismatched }).toEqual({ missing: 0, mismatched: 0 });
    expect(serials.length).toBeGreaterThan(ROTATIONS);
    expect(new Set(serials).size).toBe(serials.length);
    expect(reads).toBeGreaterThan(1000);
  });

  it("never finds an SVID that has expired", () => {
    expect(report(name).expired).toBe(0);
  });

  it("never finds a file missing that it opens by its plain name", () => {
    expect(report(name).naiveMissing).toBe(0);
  });

  it("gets a new key with each rotation", () => {
    expect(report(name).keys).toBe(report(name).serials.length);
  });

  it("is told of each rotation by the file system", () => {
    expect(report(name).notices).toBeGreaterThanOrEqual(ROTATIONS);
  });

  it("goes on in the same container", async () => {
    const pod = await world.get("pod", name, NS);
    expect(pod.status.containerStatuses[0].restartCount).toBe(0);
  });
});

function reader(name: string, node: string | undefined, spec: Json): Json {
  const container = {
    name: "main",
    image: world.images.workload,
    args: ["/workload/reader.mjs"],
    // Being stopped between any two calls widens the gaps in which a race would show.
    resources: { limits: { cpu: "300m" } },
  };
  const affinity = node === undefined ? {} : { node };
  return workloadPod(world, {
    ...{ name, namespace: NS, ...affinity },
    spec: { ...spec, containers: [container] },
  });
}

async function afterRotations(name: string): Promise<Report> {
  await world.ready(NS, name);
  return world.until(
    `${ROTATIONS} rotations in ${name}`,
    async () => {
      const line = await world.cluster.kubectl(["logs", "-n", NS, name, "--tail=1"]);
      const seen = JSON.parse(line) as Report;
      // The reader is told of a change by an event that may come after it has read the change.
      const told = seen.notices >= ROTATIONS;
      return seen.serials.length > ROTATIONS && told ? seen : undefined;
    },
    120_000,
  );
}

function report(name: string): Report {
  const seen = reports[name];
  if (seen === undefined) throw new Error(`no report of ${name}`);
  return seen;
}
