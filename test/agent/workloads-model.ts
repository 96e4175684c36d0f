/** The workloads of one node in a world without network, disk and real time, where everything may fail. */
import { generateKeyPairSync } from "node:crypto";
import { setImmediate as immediate } from "node:timers/promises";
import { manualClock } from "../../src/core/clock.ts";
import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { Volume, WorkloadIdentity } from "../../src/csi/ports.ts";
import type { AgentEvent } from "../../src/agent/events.ts";
import type { Workload } from "../../src/agent/workload.ts";
import { workloads } from "../../src/agent/workloads.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { testAuthority } from "../fakes/authority.ts";
import { modelDisk } from "./workloads-disk.ts";
import { modelOperator } from "./workloads-operator.ts";
import type { ModelEntry, Signers } from "./workloads-operator.ts";

const START = 1_800_000_000_000;

/** What a test does to the world, one after another. */
export type Step =
  | { readonly kind: "entries"; readonly pod: string; readonly entries: readonly ModelEntry[] }
  /** Nothing is told without a session, and not everything before it is synced. */
  | { readonly kind: "session"; readonly phase: Phase }
  | { readonly kind: "refuse"; readonly code: ErrorCode | undefined }
  | { readonly kind: "refuse tokens"; readonly code: ErrorCode; readonly audiences: string[] }
  | { readonly kind: "lag"; readonly beforeMs: number; readonly afterMs: number }
  | { readonly kind: "rotate" }
  | { readonly kind: "foreign"; readonly name: string; readonly isKnown: boolean }
  | { readonly kind: "disk"; readonly isFull: boolean; readonly slowMs: number }
  | { readonly kind: "unmount"; readonly volume: string }
  | { readonly kind: "forget"; readonly volume: string }
  | { readonly kind: "adopt"; readonly volume: string; readonly what: Adopted }
  | { readonly kind: "set clock"; readonly aheadMs: number }
  | { readonly kind: "advance"; readonly ms: number };

/** What the files show, as after a restart; an answer of now, or one that was long on its way. */
type Adopted = "shown" | "nothing" | "new" | "late";
export type Phase = "lost" | "begun" | "synced";

export interface WorldOptions {
  readonly volumes: readonly Volume[];
  /** What each pod begins with. */
  readonly entries: readonly ModelEntry[];
  readonly signers: Signers;
  readonly ttlMs: number;
  readonly random: () => number;
}

/** Two authorities that take turns, each with a leaf that never changes: only its issuer matters here. */
export async function makeSigners(): Promise<Signers> {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const signer = async (name: string) => {
    const authority = await testAuthority(name);
    const validity = { notBefore: START - 3_600_000, notAfter: START + 10 * 31_536_000_000 };
    const uris = ["spiffe://test.local/any"];
    return { authority, leaf: await authority.issue({ uris, publicKey: spki, ...validity }) };
  };
  return [await signer("one"), await signer("two")];
}

export type World = ReturnType<typeof startWorld>;

/** Starts a node whose pods all have what they begin with; every volume shows it. */
export function startWorld(options: WorldOptions) {
  const { ttlMs, signers, random } = options;
  const timers = manualClock(START);
  const operator = modelOperator({ clock: timers, ttlMs, signers });
  const disk = modelDisk(timers, {
    isKept: (volumeId) => all.get(volumeId) !== undefined,
    mayClear({ pod, removal }) {
      return removal === "remove" && state.gone.has(pod.uid);
    },
  });
  const state = { aheadMs: 0, phase: "lost" as Phase, gone: new Set<string>() };
  const clock: Clock = {
    now: () => timers.now() + state.aheadMs,
    sleep: (ms, signal) => timers.sleep(ms, signal),
  };
  const counts = new Map<AgentEvent, number>();
  /** The workloads as subscribers see them, who look when they are told of a change. */
  const told = new Map<string, Workload | undefined>();
  const left = new Set<string>();
  const all = workloads({
    issuing: operator,
    sink: () => disk,
    clock,
    random,
    log: silentLog(),
    onChange: (ids) => ids.forEach((id) => told.set(id, all.get(id))),
    onPodLeft: (uid) => left.add(uid),
    count: (event) => counts.set(event, (counts.get(event) ?? 0) + 1),
  });
  const adoptedAt = new Map<string, number>();
  const adopt = (volume: Volume, identity: WorkloadIdentity | undefined): void => {
    adoptedAt.set(volume.id, timers.now());
    disk.mount(volume);
    all.adopt(volume, identity);
  };
  const byId = (id: string): Volume => {
    const found = options.volumes.find((volume) => volume.id === id);
    if (!found) throw new Error(`no volume ${id}`);
    return found;
  };
  const node = {
    ...options,
    all,
    operator,
    disk,
    state,
    clock,
    counts,
    told,
    left,
    adopt,
    adoptedAt,
    byId,
  };
  for (const { pod } of options.volumes) operator.entries.set(pod.uid, options.entries);
  beginSession(node, "synced");
  for (const volume of options.volumes) adopt(volume, published(node, volume, "new"));
  const stop = new AbortController();
  const ended = all.run(stop.signal);
  return {
    ...node,
    /** How many wait for the time. */
    sleeping: () => timers.sleeping,
    async advance(ms: number) {
      // What was just changed reaches its next sleep first.
      await immediate();
      await timers.advance(ms);
      await immediate();
    },
    async end() {
      stop.abort();
      await immediate();
      await ended;
    },
  };
}

type Node = Pick<
  World,
  "all" | "operator" | "disk" | "state" | "clock" | "adopt" | "byId" | "volumes"
>;

/** What a pod that starts is given and shown, before anything is renewed. */
function published(
  { operator, disk }: Node,
  volume: Volume,
  what: "new" | "late",
): WorkloadIdentity | undefined {
  const identity = what === "late" ? operator.last.get(volume.id) : operator.issue(volume);
  if (identity) disk.shown.set(volume.id, identity);
  return identity;
}

/** Says the state of the whole node, or only begins to. */
function beginSession({ all, operator, state }: Node, phase: "begun" | "synced"): void {
  state.phase = phase;
  all.beginSession();
  all.setBundle(operator.bundle());
  if (phase === "begun") return;
  for (const bundle of operator.foreign.values()) all.setForeignBundle(bundle);
  for (const [podUid, entries] of operator.entries) {
    if (entries.length > 0) tellEntries({ all, state }, podUid, entries);
    else state.gone.add(podUid);
  }
  all.synced();
}

function tellEntries(
  { all, state }: Pick<Node, "all" | "state">,
  podUid: string,
  entries: readonly ModelEntry[],
): void {
  if (entries.length > 0) state.gone.delete(podUid);
  else if (state.phase === "synced") state.gone.add(podUid);
  all.setEntries(podUid, entries);
}

/** Does one step; what follows from it needs time. */
export async function play(world: World, step: Step): Promise<void> {
  if (step.kind === "advance") await world.advance(step.ms);
  else act(world, step);
  await immediate();
}

function act(world: World, step: Exclude<Step, { readonly kind: "advance" }>): void {
  const { operator, disk, state } = world;
  switch (step.kind) {
    case "refuse":
      operator.refusal = step.code;
      return;
    case "refuse tokens":
      operator.tokenRefusal = step;
      return;
    case "lag":
      operator.lag = step;
      return;
    case "disk":
      disk.failure = step.isFull ? new SignetError("SYSTEM", "disk is full") : undefined;
      disk.slowMs = step.slowMs;
      return;
    case "set clock":
      state.aheadMs = step.aheadMs;
      return;
    case "unmount":
    case "forget":
    case "adopt":
      return actOnVolume(world, step);
    default:
      return tell(world, step);
  }
}

function actOnVolume(
  world: World,
  step: Extract<Step, { readonly kind: "unmount" | "forget" | "adopt" }>,
): void {
  const volume = world.byId(step.volume);
  if (step.kind === "unmount") return world.disk.unmount(volume.id);
  if (step.kind === "forget") return forget(world, volume);
  adopt(world, volume, step.what);
}

function adopt(world: World, volume: Volume, what: Adopted): void {
  if (what === "new" || what === "late") return world.adopt(volume, published(world, volume, what));
  const shown = what === "shown" ? world.disk.shown.get(volume.id) : undefined;
  world.adopt(volume, shown && isValid(world, shown) ? shown : undefined);
}

function isValid({ clock }: World, { svids }: WorkloadIdentity): boolean {
  return svids.every(({ notAfter }) => notAfter > clock.now());
}

function forget({ all, disk }: World, { id }: Volume): void {
  disk.unmount(id);
  all.forget(id);
}

/** Changes what the operator knows; the node hears of it when it has a session. */
function tell(
  world: World,
  step: Extract<Step, { readonly kind: "entries" | "session" | "rotate" | "foreign" }>,
): void {
  const { all, operator, state } = world;
  const isHeard = state.phase !== "lost";
  switch (step.kind) {
    case "session":
      if (step.phase === "lost") state.phase = "lost";
      else beginSession(world, step.phase);
      return;
    case "entries":
      operator.entries.set(step.pod, step.entries);
      if (isHeard) tellEntries(world, step.pod, step.entries);
      return;
    case "rotate":
      operator.rotate();
      if (isHeard) all.setBundle(operator.bundle());
      return;
    case "foreign":
      tellForeign(world, operator.setForeign(step.name, step.isKnown), step.name);
  }
}

function tellForeign({ all, state }: World, bundle: Bundle | undefined, name: string): void {
  if (state.phase === "lost") return;
  if (bundle) all.setForeignBundle(bundle);
  else all.dropForeignBundle(name);
}

/** Ends every failure; what is gone is taken down, and what was not said is said. */
export function heal(world: World): void {
  const { operator, disk, state, volumes } = world;
  operator.refusal = undefined;
  operator.tokenRefusal = { code: "UNAVAILABLE", audiences: [] };
  operator.lag = { beforeMs: 0, afterMs: 0 };
  disk.failure = undefined;
  disk.slowMs = 0;
  state.aheadMs = 0;
  for (const volume of volumes) if (!disk.isMounted(volume.id)) forget(world, volume);
  // One that was heard to its end needs no other to get well.
  if (state.phase !== "synced") beginSession(world, "synced");
}
