import { workloadPod } from "./world.ts";
import type { Json, PodOptions, World } from "./world.ts";

/** One SVID that a witness saw; times are milliseconds since the epoch. */
export interface Rotation {
  readonly at: number;
  readonly serial: string;
  readonly spiffeId: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** All that a witness saw since it started. */
export interface Testimony {
  readonly rotations: readonly Rotation[];
  /** Each is a moment without a valid pair, and what was wrong. */
  readonly violations: readonly string[];
}

/** A pod that looks at its identity ten times a second; see workload/witness.mjs. */
export function witnessPod(world: World, options: PodOptions): Json {
  const containers = [
    { name: "main", image: world.images.workload, args: ["/workload/witness.mjs"] },
  ];
  return workloadPod(world, { ...options, spec: { containers, ...options.spec } });
}

/** What a witness has printed so far. */
export async function hear(world: World, namespace: string, pod: string): Promise<Testimony> {
  const log = await world.cluster.kubectl(["logs", "-n", namespace, pod, "--tail=-1"]);
  const lines = log
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line): Json => JSON.parse(line));
  return {
    rotations: lines.filter(({ kind }) => kind === "rotation"),
    violations: lines
      .filter(({ kind }) => kind === "violation")
      .map(({ at, what }) => `${new Date(at).toISOString()} ${what}`),
  };
}

/** Waits until the witness has a new SVID that came after `since`; resolves with all it saw. */
export function rotatedSince(
  world: World,
  witness: { readonly namespace: string; readonly pod: string },
  since: number,
): Promise<Testimony> {
  const { namespace, pod } = witness;
  return world.until(
    `a rotation in ${namespace}/${pod}`,
    async () => {
      const testimony = await hear(world, namespace, pod);
      const [, ...renewed] = testimony.rotations;
      return renewed.some(({ at }) => at > since) ? testimony : undefined;
    },
    90_000,
  );
}
