import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../src/core/errors.ts";
import { everyFile, heal, play, sightOf, startNode } from "./volumes-model.ts";
import type { Fault } from "./volumes-faults.ts";
import type { Call, Node, Step } from "./volumes-model.ts";

const HOUR = 3_600_000;
/** The same ones in every run; other seeds are for whoever changes the code. */
const RUNS = { numRuns: 40, seed: 1 };
/** How long readers of old files have. */
const GRACE_MS = 11_000;
/** Statuses after which kubelet tries again and leaves the volume to its pod. */
const RETRIED = [1, 4, 8, 10, 14];

const some = fc.constantFrom;
const is = <K extends Step["kind"]>(kind: K) => fc.constant(kind);
const waits = some(true, true, false);
const answer = some(
  "identity",
  "identity",
  "late",
  "UNAVAILABLE",
  "NO_IDENTITY",
  "POD_GONE",
  "PERMISSION_DENIED",
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: is("publish"), waits }) },
  { weight: 3, arbitrary: fc.record({ kind: is("unpublish"), waits }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: is("write"), waits, isHuge: some(false, false, false, true) }),
  },
  fc.record({ kind: is("clear"), waits }),
  fc.record({ kind: some("tend", "collect") }),
  { weight: 2, arbitrary: fc.record({ kind: is("restart"), losesState: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: is("lose mount"), whilePublished: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: is("answer"), answer }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: is("fault"),
      fault: some("mount", "unmount", "unmount", "table", "state", "socket"),
      isThere: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: is("advance"), ms: some(GRACE_MS, HOUR / 2, 2 * HOUR) }),
  },
);

/** What all sequences together must have come to. */
const LEAST = {
  ...{ "publish done": 20, "publish refused": 10, "unpublish done": 10, "unpublish refused": 1 },
  ...{ "write done": 5, "write refused": 1 },
};

/** A pod keeps its volume whatever a publish comes to, and one that fails leaves no new one behind. */
function expectPublished(node: Node, { code, before, after, isAlone }: Call): void {
  const isRefused = code !== undefined;
  if (isRefused && before.isMounted && after.isMounted)
    expect(RETRIED).toContain(ERROR_CODES[code].grpc);
  if (!isAlone) return;
  if (!isRefused) {
    expect(after).toMatchObject({ isMounted: true, isKnown: true });
    if (!before.isMounted && !node.volume.optional) expect(after.leaf).toBeDefined();
  } else if (before.isMounted) expect(after.isMounted, "stays mounted").toBe(true);
  else if (!node.faults.has("unmount")) {
    expect(after).toMatchObject({ isMounted: false, leaf: undefined });
    if (!before.isKnown) expect(node.operator.source.adopted.size, "looked after").toBe(0);
  }
}

/** Nothing is left of a volume that was taken down. */
async function expectUnpublished(node: Node): Promise<void> {
  const { sandbox, volume, stateDir, sockets, operator } = node;
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(existsSync(volume.target), "folder").toBe(false);
  expect(readdirSync(stateDir), "states").toEqual([]);
  expect(node.volumes.get(volume.id)).toBeUndefined();
  expect([sockets.shown.size, operator.source.adopted.size], "looked after").toEqual([0, 0]);
}

/** A rotation reaches the files of a mounted volume, though its state or its foreign bundles cannot be kept. */
function expectWritten({ faults }: Node, { code, before, after, leaf }: Call): void {
  if (code === undefined) expect(after.leaf).toEqual(leaf);
  if (!before.isMounted || faults.has("table")) return;
  // Where nothing was shown, there are no foreign bundles to show instead.
  if (code === "RESOURCE_EXHAUSTED" && before.leaf === undefined) return;
  expect(after.leaf, `shown in spite of ${code}`).toEqual(leaf);
}

async function expectCallEndedWell(node: Node, call: Call): Promise<void> {
  const isDone = call.code === undefined;
  if (call.kind === "publish") expectPublished(node, call);
  if (!call.isAlone) return;
  if (call.kind === "unpublish" && isDone) await expectUnpublished(node);
  if (call.kind === "write") expectWritten(node, call);
  if (call.kind === "clear" && isDone) expectNoKey(node);
}

function expectNoKey(node: Node): void {
  expect(everyFile(node)).not.toContain("PRIVATE KEY");
}

function expectNoFile(node: Node): void {
  expect(everyFile(node), "nothing lands on the disk").toBe("");
}

/** What holds whenever nothing runs. */
async function expectInOrder(node: Node): Promise<void> {
  const { volume, operator, clock } = node;
  const { isMounted, isKnown, leaf } = await sightOf(node);
  if (!isMounted) expectNoFile(node);
  if (!isMounted || !isKnown) return;
  const end = leaf && new X509Certificate(leaf).validToDate.getTime();
  expect(node.volumes.get(volume.id)?.notAfter, "what is known is what is shown").toBe(end);
  if (leaf === undefined || end === undefined || end <= clock.now()) return;
  expect(operator.source.adopted.has(volume.id), "a valid SVID is looked after").toBe(true);
  expect(operator.holds(leaf), "by who knows it").toBe(true);
}

/** One publish brings everything back. */
async function expectHealed(node: Node): Promise<void> {
  const { volume, sandbox, sockets, operator } = node;
  await heal(node);
  await play(node, { kind: "publish", waits: true });
  expect(node.ended.splice(0).at(-1)).toMatchObject({ kind: "publish", code: undefined });
  await node.volumes.tend();
  expect(await sandbox.mountPoints()).toEqual([volume.target]);
  expect(sockets.shown).toEqual(new Map([[volume.id, volume.target]]));
  expect([...operator.source.adopted.keys()]).toEqual([volume.id]);
  await expectInOrder(node);
}

/** A rotation is shown, told to the next process, and leaves nothing of what was shown before. */
async function expectRotated(node: Node, restarts: boolean): Promise<void> {
  const { volume, clock, operator } = node;
  const identity = await operator.issue();
  operator.hold(identity);
  await node.volumes.write(volume.id, identity);
  const { leaf } = await sightOf(node);
  expect(leaf).toEqual(identity.svids[0]?.chain[0]);
  expect(await node.volumes.faultsOf(volume.id)).toEqual([]);
  await clock.advance(GRACE_MS);
  const generations = readdirSync(volume.target).filter((name) => /^\.\.\d/.test(name));
  expect(generations).toHaveLength(1);
  if (!restarts) return;
  await play(node, { kind: "restart", losesState: false });
  expect(operator.source.adopted.get(volume.id)?.current).toEqual(identity);
}

async function expectTakenDown(node: Node): Promise<void> {
  // What follows on a change must not outlive the volume.
  await node.volumes.write(node.volume.id, await node.operator.issue());
  for (let time = 0; time < 2; time++) {
    await node.volumes.unpublish(node.volume);
    await expectUnpublished(node);
  }
  await node.volumes.stop();
  expect(node.clock.sleeping, "no timer is left").toBe(0);
}

const stories = fc.record({
  steps: fc.array(step, { maxLength: 20, size: "max" }),
  optional: fc.boolean(),
  // Otherwise most would be over before there is a volume.
  begins: some<Step[]>([], [{ kind: "publish", waits: true }], [{ kind: "publish", waits: true }]),
  restarts: fc.boolean(),
});

type Story = typeof stories extends fc.Arbitrary<infer T> ? T : never;

const PUBLISH: Step = { kind: "publish", waits: true };
const RESTART: Step = { kind: "restart", losesState: true };
const EXPIRE: Step = { kind: "advance", ms: 2 * HOUR };
const write = (isHuge: boolean): Step => ({ kind: "write", waits: true, isHuge });
const fault = (fault: Fault): Step => ({ kind: "fault", fault, isThere: true });
/** What once went wrong; each needs more luck than one run has. */
const ONCE: readonly Step[][] = [
  [PUBLISH, fault("state"), write(false)],
  [PUBLISH, write(true)],
  [PUBLISH, fault("table"), PUBLISH],
  [PUBLISH, RESTART, fault("state"), PUBLISH],
  [PUBLISH, EXPIRE, fault("state"), PUBLISH],
  [PUBLISH, EXPIRE, { kind: "lose mount", whilePublished: true }],
  [PUBLISH, fault("unmount"), { kind: "unpublish", waits: true }],
];
const examples = ONCE.map((steps): [Story] => [
  { begins: [], steps, optional: false, restarts: true },
]);

test("whatever failed and met, a publish brings a volume back, no rotation is lost, and an unpublish leaves nothing", async () => {
  const seen = new Map<string, number>();
  const note = ({ kind, code }: Call): void => {
    const what = `${kind} ${code === undefined ? "done" : "refused"}`;
    seen.set(what, (seen.get(what) ?? 0) + 1);
  };
  const story = fc.asyncProperty(stories, async ({ begins, steps, optional, restarts }) => {
    const node = await startNode({ optional });
    try {
      for (const step of [...begins, ...steps]) {
        await play(node, step);
        for (const call of node.ended.splice(0)) {
          await expectCallEndedWell(node, call);
          note(call);
        }
        if (node.running.size === 0) await expectInOrder(node);
      }
      await expectHealed(node);
      await expectRotated(node, restarts);
      await expectTakenDown(node);
    } finally {
      await node.sandbox.cleanUp();
    }
  });
  await fc.assert(story, { ...RUNS, examples });
  for (const [what, least] of Object.entries(LEAST)) {
    expect(seen.get(what), what).toBeGreaterThan(least);
  }
}, 120_000);
