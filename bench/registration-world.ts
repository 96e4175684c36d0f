/** The cluster of bench/registration.ts, as the operator keeps it. */
import { podProjection, projectNamespace, projectNode } from "../src/controllers/projection.ts";
import type { Project } from "../src/controllers/projection.ts";
import type { Namespace, Node, Pod } from "../src/kube/types.ts";
import { joinReads, NO_READS, RegistrationIndex } from "../src/registration/index.ts";
import {
  endpointSlice,
  namespaceObject,
  nodeObject,
  thousandRules,
} from "./registration-objects.ts";
import type { BenchEndpointSlice, BenchRule } from "./registration-objects.ts";
import { storedPod } from "./registration-pods.ts";
import type { Shape } from "./registration-pods.ts";

export const NAMESPACES = 200;
export const CLUSTER = "bench";
const PODS_PER_NODE = 20;
const PODS_PER_SLICE = 10;
export const OPTIONS = {
  trustDomain: "example.org",
  clusterName: CLUSTER,
  clusterDomain: "cluster.local",
};
/** The objects of one size. */
export interface World {
  readonly shape: Shape;
  readonly namespaces: readonly Namespace[];
  readonly nodes: readonly Node[];
  readonly rules: readonly BenchRule[];
  readonly project: Project<Pod>;
  pods: readonly Pod[];
  slices: readonly BenchEndpointSlice[];
}

/** All but the pods and Services of one size. */
export function makeWorld(count: number): World {
  const rules = thousandRules();
  const shape = { namespaces: NAMESPACES, nodes: Math.max(1, count / PODS_PER_NODE) };
  return {
    shape,
    namespaces: range(NAMESPACES, (at) => projectNamespace(namespaceObject(at))),
    nodes: range(shape.nodes, (at) => projectNode(nodeObject(at))),
    rules,
    project: projectionFor(rules),
    pods: [],
    slices: [],
  };
}

/** Fills a world with its pods, and with a Service for every ten of a namespace. */
export function populate(world: World, count: number): void {
  world.pods = range(count, (at) => watchedPod(at, world));
  world.slices = range(NAMESPACES * Math.ceil(count / NAMESPACES / PODS_PER_SLICE), (at) =>
    endpointSlice(at, podsOfSlice(at, world)),
  );
}

function podsOfSlice(slice: number, { pods }: World): Pod[] {
  const first = (slice % NAMESPACES) + Math.floor(slice / NAMESPACES) * PODS_PER_SLICE * NAMESPACES;
  return range(PODS_PER_SLICE, (at) => pods[first + at * NAMESPACES]).flatMap((pod) => pod ?? []);
}

/** A pod as the operator keeps it: parsed from the wire, then cut down. */
export function watchedPod(index: number, { shape, project }: World): Pod {
  return project(JSON.parse(JSON.stringify(storedPod(index, shape))) as Pod);
}

/** The first slice of the first namespace, where a rule takes the names of Services; and without its first pod. */
export function sampleSlice(shape: Shape): Record<"slice" | "without", BenchEndpointSlice> {
  const pods = range(5, (at) => storedPod(at * NAMESPACES, shape));
  return { slice: endpointSlice(0, pods), without: endpointSlice(0, pods.slice(1)) };
}

/** Cuts pods down to what these rules read of them. */
function projectionFor(rules: readonly BenchRule[]): Project<Pod> {
  const index = new RegistrationIndex(OPTIONS);
  return podProjection(
    rules.map((rule) => index.readsOf("ClusterSPIFFEID", rule)).reduce(joinReads, NO_READS),
  );
}

export function range<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}
