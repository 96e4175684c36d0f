import { rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server } from "node:net";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { Mounter } from "../../src/csi/mount.ts";
import type { IdentitySource, WorkloadIdentity, WorkloadSockets } from "../../src/csi/ports.ts";
import type { VolumeSpec } from "../../src/csi/request.ts";
import { createTargets } from "../../src/csi/target.ts";
import { createVolumeStateStore } from "../../src/csi/volume-state.ts";
import { createVolumes } from "../../src/csi/volumes.ts";
import type { Volumes } from "../../src/csi/volumes.ts";
import { showSocket } from "../../src/workload-api/socket-file.ts";
import { watchFiles, watchIdentities, watchMounter, watchSockets } from "./steps.ts";
import type { Step } from "./steps.ts";

const NO_SOCKET = "no socket for a test";
export const DRIVER = "csi.spiffe.io";

/** What an agent may be at when it dies. */
export const SCENARIOS = [
  "publish",
  "failing publish",
  "republish",
  "republish without state",
  "write",
  "unpublish",
  "recover",
] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** What a process of the node works with; all of it survives the process. */
export interface World {
  readonly dir: string;
  readonly volume: VolumeSpec;
  /** What the volume shows before, and what it is given. */
  readonly first: WorkloadIdentity;
  readonly second: WorkloadIdentity;
}

/** One process: the volumes of a node, and how to take away what the kernel takes away when it dies. */
export interface NodeProcess {
  readonly volumes: Volumes;
  /** Ends the listeners; their files stay. */
  vanish(): void;
}

function plainSource(identity: WorkloadIdentity): IdentitySource {
  return {
    attest: () => Promise.resolve(identity),
    adopt: () => undefined,
    forget: () => undefined,
    addressOf: () => undefined,
  };
}

/** Real sockets that answer nothing. */
export function plainSockets(fail = false): WorkloadSockets & { vanish(): void } {
  const open = new Map<string, { server: Server; file: Awaited<ReturnType<typeof showSocket>> }>();
  const vanish = (): void => {
    for (const { server } of open.values()) server.close();
    open.clear();
  };
  return {
    async open(id, directory) {
      if (fail) throw new SignetError("SYSTEM", NO_SOCKET);
      const known = open.get(id);
      if (known !== undefined && (await known.file.isShown())) return;
      const server = createServer((socket) => socket.destroy());
      open.set(id, { server, file: await showSocket(server, directory) });
      known?.server.close();
    },
    async close(id) {
      const known = open.get(id);
      open.delete(id);
      known?.server.close();
      await known?.file.remove();
    },
    async stop() {
      await Promise.resolve();
      vanish();
    },
    vanish,
  };
}

export function startNode(
  { dir, first }: World,
  mounter: Mounter,
  step: Step = () => undefined,
  failSockets = false,
): NodeProcess {
  const sockets = plainSockets(failSockets);
  const source = watchIdentities(plainSource(first), step);
  const volumes = createVolumes({
    podsDir: join(dir, "pods"),
    targets: createTargets(watchMounter(mounter, step), DRIVER),
    states: createVolumeStateStore(join(dir, "volumes")),
    identities: () => source,
    sockets: watchSockets(sockets, step),
    clock: systemClock(),
    log: silentLog(),
  });
  return { volumes, vanish: () => sockets.vanish() };
}

/** Brings the node to where the scenario begins. */
export async function prepare(scenario: Scenario, world: World, mounter: Mounter): Promise<void> {
  if (scenario === "publish" || scenario === "failing publish") return;
  const node = startNode(world, mounter);
  await publish(node.volumes, world);
  await node.volumes.stop();
  node.vanish();
  if (scenario === "republish without state")
    await rm(join(world.dir, "volumes"), { recursive: true });
}

/** Plays the scenario in a new process whose every step goes through `step`. */
export async function play(
  scenario: Scenario,
  world: World,
  mounter: Mounter,
  step: Step,
): Promise<void> {
  // The others begin in an agent that has recovered.
  let begun = scenario === "recover";
  const stepOnceBegun: Step = (name) => {
    if (begun) step(name);
  };
  const node = startNode(world, mounter, stepOnceBegun, scenario === "failing publish");
  const unwatch = watchFiles(world.dir, stepOnceBegun);
  try {
    await node.volumes.recover();
    begun = true;
    await act(scenario, node.volumes, world);
  } finally {
    begun = false;
    unwatch();
    await node.volumes.stop();
    node.vanish();
  }
}

async function act(scenario: Scenario, volumes: Volumes, world: World): Promise<void> {
  const { id, target } = world.volume;
  if (scenario === "unpublish") await volumes.unpublish({ id, target });
  else if (scenario === "failing publish") await publish(volumes, world).catch(expectNoSocket);
  else if (scenario === "write") await volumes.write(id, world.second);
  else if (scenario !== "recover") await publish(volumes, world);
}

function expectNoSocket(error: unknown): void {
  if (!(error as Error).message.includes(NO_SOCKET)) throw error;
}

export async function publish(volumes: Volumes, { volume }: World): Promise<void> {
  const call = { deadline: Date.now() + 60_000, signal: new AbortController().signal };
  await volumes.publish({ volume, podToken: "TOKEN" }, call);
}
