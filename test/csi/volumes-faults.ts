import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import type { VolumeStateStore } from "../../src/csi/volume-state.ts";
import { scriptedSource } from "./fixtures.ts";
import type { MemorySockets, Sandbox } from "./fixtures.ts";

/** How the operator answers for the pod; `late` means when the call or the test waits no longer. */
export type Answer = "identity" | "late" | ErrorCode;
/** What may be out of order; mounting and unmounting fail on their own. */
export type Fault = "mount" | "unmount" | "table" | "state" | "socket";

function refuse(what: Fault): never {
  throw new SignetError("SYSTEM", `${what} fails for a test`);
}

export function faultyMounter({ mounter }: Sandbox, faults: ReadonlySet<Fault>) {
  const unless = (fault: Fault): void => void (faults.has(fault) && refuse(fault));
  return {
    mountTmpfs(...args: Parameters<typeof mounter.mountTmpfs>) {
      unless("mount");
      mounter.mountTmpfs(...args);
    },
    async unmount(target: string) {
      unless("unmount");
      await mounter.unmount(target);
    },
    async mounts() {
      unless("table");
      return await mounter.mounts();
    },
  };
}

export function faultyStates(
  inner: VolumeStateStore,
  faults: ReadonlySet<Fault>,
): VolumeStateStore {
  return {
    ...inner,
    save: async (state) => (faults.has("state") ? refuse("state") : await inner.save(state)),
    remove: async (id) => (faults.has("state") ? refuse("state") : await inner.remove(id)),
  };
}

export function faultySockets(inner: MemorySockets, faults: ReadonlySet<Fault>): MemorySockets {
  return {
    ...inner,
    open: async (id, folder) =>
      faults.has("socket") ? refuse("socket") : await inner.open(id, folder),
  };
}

/** An operator, and an agent that holds what it adopted and what it was to write. */
export function modelOperator(issue: () => Promise<WorkloadIdentity>) {
  const source = scriptedSource();
  let held: Buffer[] = [];
  let waiting: (() => void)[] = [];
  const adopt = source.adopt.bind(source);
  source.adopt = (volume, current) => {
    adopt(volume, current);
    if (current) operator.hold(current);
  };
  source.answer = async (_, { signal }) => {
    const { answer } = operator;
    if (answer === "identity") return await issue();
    if (answer !== "late") throw new SignetError(answer, "refused for a test");
    const { promise: givenUp, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    waiting.push(resolve);
    await givenUp;
    if (signal.aborted) throw new SignetError("CANCELLED", "aborted");
    return await issue();
  };
  const operator = {
    source,
    issue,
    answer: "identity" as Answer,
    /** How many calls wait for an answer that is late. */
    waiting: () => waiting.length,
    giveUp(): void {
      for (const end of waiting) end();
      waiting = [];
    },
    hold({ svids }: WorkloadIdentity): void {
      const leaf = svids[0]?.chain[0];
      if (leaf) held.push(leaf);
    },
    holds: (leaf: Buffer): boolean => held.some((other) => other.equals(leaf)),
    /** Another process takes over what it is given. */
    restart(): void {
      source.adopted.clear();
      held = [];
    },
  };
  return operator;
}
