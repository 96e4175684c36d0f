import { NAMESPACE, signetPods } from "./world.ts";
import type { World } from "./world.ts";

/** Reads one of an operator replica's metrics, as Prometheus does. */
export async function metricOf({ cluster }: World, pod: string, name: string): Promise<number> {
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}:8080/proxy/metrics`;
  const text = await cluster.kubectl(["get", "--raw", path]);
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`${pod} has no metric ${name}`);
  return Number(value);
}

/** Resident memory of every operator replica in MiB, by pod name. */
export async function operatorMemory(world: World): Promise<Record<string, number>> {
  const pods = await signetPods(world, "operator");
  const sizes = pods.map(async ({ metadata: { name } }) => {
    const bytes = await metricOf(world, name, "process_resident_memory_bytes");
    return [name, Math.round(bytes / 2 ** 20)] as const;
  });
  return Object.fromEntries(await Promise.all(sizes));
}
