/** One volume of a node on which mounts, disk, sockets and the operator may fail, and calls may meet. */
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as immediate } from "node:timers/promises";
import { manualClock } from "../../src/core/clock.ts";
import { toSignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { createTargets } from "../../src/csi/target.ts";
import { createVolumeStateStore } from "../../src/csi/volume-state.ts";
import { createVolumes } from "../../src/csi/volumes.ts";
import type { Volumes } from "../../src/csi/volumes.ts";
import { makeIdentity, makePod, makeSandbox, memorySockets } from "./fixtures.ts";
import { bundleOf } from "./identities.ts";
import { DRIVER } from "./scenarios.ts";
import { faultyMounter, faultySockets, faultyStates, modelOperator } from "./volumes-faults.ts";
import type { Answer, Fault } from "./volumes-faults.ts";

const HOUR = 3_600_000;
/** More than a volume holds beside what it shows. */
const HUGE = Buffer.alloc(3 << 20);

/** What a test does to the volume, one after another; what waits ends before the next begins. */
export type Step =
  | { readonly kind: "publish" | "unpublish" | "clear"; readonly waits: boolean }
  | { readonly kind: "write"; readonly waits: boolean; readonly isHuge: boolean }
  | { readonly kind: "tend" | "collect" }
  /** Another process comes; one that finds no state was updated from a version that kept none. */
  | { readonly kind: "restart"; readonly losesState: boolean }
  /** Someone else takes the mount away, perhaps from a publish that waits for its answer. */
  | { readonly kind: "lose mount"; readonly whilePublished: boolean }
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "fault"; readonly fault: Fault; readonly isThere: boolean }
  | { readonly kind: "advance"; readonly ms: number };

/** A call that ended, and what was there before it. */
export interface Call {
  readonly kind: "publish" | "unpublish" | "clear" | "write";
  /** Undefined when it succeeded. */
  readonly code: ErrorCode | undefined;
  readonly before: Sight;
  readonly after: Sight;
  /** Nothing else ran beside it. */
  readonly isAlone: boolean;
  /** What a write was to show. */
  readonly leaf?: Buffer;
}

/** What can be seen of the volume. */
export interface Sight {
  readonly isMounted: boolean;
  readonly isKnown: boolean;
  /** The certificate that its files show. */
  readonly leaf: Buffer | undefined;
}

export type Node = Awaited<ReturnType<typeof startNode>>;

/** Starts a node whose volume is not published yet. */
export async function startNode(options: { readonly optional: boolean }) {
  const sandbox = await makeSandbox();
  const podsDir = join(sandbox.dir, "pods");
  const stateDir = join(sandbox.dir, "volumes");
  const pod = makePod();
  const target = join(podsDir, pod.uid, "volumes/kubernetes.io~csi/spiffe/mount");
  mkdirSync(dirname(target), { recursive: true });
  const clock = manualClock(Date.now());
  const faults = new Set<Fault>();
  const sockets = memorySockets();
  let issued = 0;
  const operator = modelOperator(() => {
    issued += 1;
    // Each differs in all that is noted of it.
    const notAfter = clock.now() + HOUR + issued * 1000;
    return makeIdentity({ notAfter, revision: `r${issued}` });
  });
  const start = (): Volumes =>
    createVolumes({
      podsDir,
      targets: createTargets(faultyMounter(sandbox, faults), DRIVER),
      states: faultyStates(createVolumeStateStore(stateDir), faults),
      identities: () => operator.source,
      sockets: faultySockets(sockets, faults),
      clock,
      log: silentLog(),
    });
  const volumes = start();
  await volumes.recover();
  const volume = {
    ...{ id: `csi-${pod.uid}`, target, pod, gid: undefined, attributes: {}, jwtAudiences: [] },
    keyType: "ec-p256" as const,
    removal: "keep" as const,
    optional: options.optional,
  };
  return {
    ...{ volume, sandbox, stateDir, clock, faults, sockets, operator, start },
    /** Of the process that runs now. */
    volumes,
    running: new Set<Promise<Call>>(),
    /** Those that ended since a test looked last. */
    ended: [] as Call[],
  };
}

/** What can be seen of the volume now. */
export async function sightOf({ sandbox, volume, volumes }: Node): Promise<Sight> {
  const isMounted = (await sandbox.mountPoints()).length > 0;
  return {
    isMounted,
    isKnown: volumes.get(volume.id) !== undefined,
    leaf: leafOf(join(volume.target, "tls.crt")),
  };
}

function leafOf(path: string): Buffer | undefined {
  return existsSync(path) ? new X509Certificate(readFileSync(path)).raw : undefined;
}

/** Every file of the volume with its content, also of what it showed before. */
export function everyFile({ volume }: Node): string {
  if (!existsSync(volume.target)) return "";
  return readdirSync(volume.target, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => `${name} ${readFileSync(join(parentPath, name), "latin1")}`)
    .join("\n");
}

/** Ends what runs, also what waits for an answer. */
export async function settle(node: Node): Promise<void> {
  while (node.running.size > 0) {
    node.operator.giveUp();
    await Promise.race([...node.running, immediate()]);
  }
}

/** Does one step. */
export async function play(node: Node, step: Step): Promise<void> {
  switch (step.kind) {
    case "publish":
    case "unpublish":
    case "clear":
    case "write":
      return await call(node, step);
    case "tend":
      // Looks at the mount table, without which it may fail.
      return await node.volumes.tend().catch(() => undefined);
    case "collect":
      return await node.volumes.collect();
    case "restart":
      return await restart(node, step.losesState);
    case "lose mount":
      return await loseMount(node, step.whilePublished);
    case "answer":
      node.operator.answer = step.answer;
      return;
    case "fault":
      if (step.isThere) node.faults.add(step.fault);
      else node.faults.delete(step.fault);
      return;
    default:
      await settle(node);
      await node.clock.advance(step.ms);
  }
}

type CallStep = Extract<Step, { readonly waits: boolean }>;

async function call(node: Node, step: CallStep): Promise<void> {
  const { operator, volume, running, ended } = node;
  const isAgents = step.kind === "write" || step.kind === "clear";
  if (isAgents && !operator.source.adopted.has(volume.id)) return;
  const identity = step.kind === "write" ? await made(node, step.isHuge) : undefined;
  const begin = async (): Promise<Call> => {
    const isFirst = running.size === 0;
    const before = await sightOf(node);
    const error = await perform(node, step.kind, identity).then(
      () => undefined,
      (cause: unknown) => toSignetError(cause).code,
    );
    const after = await sightOf(node);
    const leaf = identity?.svids[0]?.chain[0];
    const isAlone = isFirst && node.running.size === 1 && step.waits;
    return { kind: step.kind, code: error, before, after, isAlone, ...(leaf ? { leaf } : {}) };
  };
  const task = begin();
  running.add(task);
  void task.then((outcome) => {
    running.delete(task);
    ended.push(outcome);
  });
  if (step.waits) await settle(node);
}

async function made({ operator }: Node, isHuge: boolean): Promise<WorkloadIdentity> {
  const identity = await operator.issue();
  operator.hold(identity);
  const federatedBundles = [bundleOf("other.org", [isHuge ? HUGE : Buffer.from("small")])];
  return { ...identity, federatedBundles };
}

async function perform(
  { volumes, volume, operator, clock }: Node,
  kind: CallStep["kind"],
  identity: WorkloadIdentity | undefined,
): Promise<void> {
  if (kind === "unpublish") return await volumes.unpublish(volume);
  if (kind === "publish") {
    const limits = { deadline: clock.now() + 60_000, signal: new AbortController().signal };
    return await volumes.publish({ volume, podToken: "TOKEN" }, limits);
  }
  const writing = identity ? volumes.write(volume.id, identity) : volumes.clear(volume.id);
  await writing.catch((error: unknown) => {
    // As the agent does.
    if (toSignetError(error).code === "NOT_FOUND") operator.source.forget(volume.id);
    throw error;
  });
}

async function restart(node: Node, losesState: boolean): Promise<void> {
  await node.volumes.stop();
  await settle(node);
  node.operator.restart();
  node.sockets.shown.clear();
  // A process that cannot read the mount table does not get this far.
  node.faults.delete("table");
  if (losesState) rmSync(node.stateDir, { recursive: true, force: true });
  node.volumes = node.start();
  await node.volumes.recover();
}

/** Not in the middle of a write, which no one could help. */
async function loseMount(node: Node, whilePublished: boolean): Promise<void> {
  if (whilePublished) {
    node.operator.answer = "late";
    await play(node, { kind: "publish", waits: false });
  }
  await immediate();
  if (node.running.size > node.operator.waiting()) await settle(node);
  await node.sandbox.mounter.unmount(node.volume.target);
}

/** Ends every failure. */
export async function heal(node: Node): Promise<void> {
  await settle(node);
  node.faults.clear();
  node.operator.answer = "identity";
}
